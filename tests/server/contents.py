"""A case with one of everything, for tests that go over the whole API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from re import findall
from secrets import token_hex
from typing import Any

from sqlalchemy import text

from server.import_machines import begin_import
from server.settings import Settings
from storage.conversations import Conversations
from storage.evidence import ChunkDraft, NewEvidence
from storage.import_listing import Listing
from storage.machine_store import new_machine_id
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person

HOOK_HOST = "127.0.0.1:9"
"""Where webhooks of these tests may go, and where nobody takes them."""
HOOK_URL = f"http://{HOOK_HOST}/"

CONTENT = b"Ada Example signed the contract on 3 May 2024."


@dataclass
class Contents:
    """What is there: ids by the names that paths give them, and machines by kind."""

    ids: dict[str, Any]
    machines: dict[str, str]
    title: str

    def parameters(self, path: str) -> dict[str, Any]:
        """Values for the parameters of a path."""
        return {name: self.ids[name] for name in findall(r"\{(\w+)\}", path)}


def with_webhooks(settings: Settings) -> Settings:
    """Settings of a server on which `fill` can work."""
    return settings.model_copy(update={"webhook_hosts": HOOK_HOST})


async def fill(live: Live, owner: Person, other: Person) -> Contents:
    """A case of `owner`'s with evidence that has text and content, an entity, a person of interest,
    one machine of every kind, a webhook with a dead letter, and `other` as a viewer."""
    case = await owner.case("Everything")
    await owner.invite(case, other, "viewer")
    poi = (await owner.call("POST", f"/api/cases/{case['id']}/pois", {"name": "Ada Example"})).json()
    token = await owner.call("POST", "/api/tokens", {"name": "a token", "scopes": ["read"]})
    machines = {"case": case["machine"]}
    for kind, topic, data in (
        ("upload", f"case:{case['id']}", {"filename": "a.txt"}),
        ("query", f"case:{case['id']}", {"question": "Who signed the contract?"}),
        ("detective", f"user:{owner.id}", {}),
        ("notification", f"user:{owner.id}", {"title": "Hello", "body": "there"}),
        ("poi_search", f"case:{case['id']}", {"poi": poi["id"], "called": "Ada Example"}),
    ):
        made = await live.parts.engine.spawn(kind, topic, data, actor=owner.id)
        machines[kind] = made.machine
    machines["import"], file = await _import(live, case["id"], owner.id)
    evidence = await _evidence(live, case["id"], machines["upload"], owner.id)
    topic = f"case:{case['id']}"
    webhook = (await owner.call("POST", "/api/webhooks", {"topic": topic, "url": HOOK_URL})).json()["id"]
    begun = await owner.call(
        "POST",
        f"/api/cases/{case['id']}/tus",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": "filename YS50eHQ="},
    )
    ids = {
        "case": case["id"],
        "upload": begun.headers["location"].rpartition("/")[2],
        "user": other.id,
        "poi": poi["id"],
        "token": token.json()["id"],
        "evidence": evidence,
        "what": "read",
        "node": evidence,
        "conversation": await _conversation(live, case["id"], owner.id, machines["query"]),
        "entity": await _entity(live, case["id"], evidence),
        "machine": machines["upload"],
        "import": machines["import"],
        "file": file,
        "topic": topic,
        "webhook": webhook,
        "letter": await dead_letter(live, webhook),
        "name": "upload.dot",
        "picture": "still.png",
        "page": 1,
        "verdict": 1,
        "subject": 1,
    }
    return Contents(ids, machines, "Everything")


async def _conversation(live: Live, case: str, owner: str, query: str) -> str:
    """The conversation of a question, once it is listed."""
    conversations = Conversations(live.parts.database, live.parts.journal)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await conversations.get(case, owner, query) is not None:
                return query
            await asyncio.sleep(0.02)


async def _import(live: Live, case: str, owner: str) -> tuple[str, int]:
    """A folder with a file that waits to be sent; the machine and the file's number."""
    parts, topic = live.parts, f"case:{case}"
    machine = new_machine_id("import", topic, parts.settings.shards)
    row = await parts.imports.create(machine, case, owner, "Boxes", f"import:{case}-{token_hex(4)}")
    await begin_import(parts.engine, row)
    [file] = await parts.import_files.add(row, [Listing("a/b.txt", 5)], most_bytes=100)
    return machine, file.id


async def dead_letter(live: Live, webhook: str) -> int:
    """The number of a new dead letter of a webhook."""
    async with live.parts.database.begin() as connection:
        letter = await connection.scalar(
            text(
                "INSERT INTO webhook_letters (webhook_id, event_id, content_type, body, reason, tries)"
                " VALUES (:webhook, 'e:1', 'application/cloudevents+json', '{}', 'HTTP 410', 1) RETURNING id"
            ),
            {"webhook": webhook},
        )
    return int(letter)


async def _evidence(live: Live, case: str, upload: str, user: str) -> int:
    parts = live.parts
    writer = parts.blobs.open_writer()
    writer.write(CONTENT)
    digest, size = writer.commit()
    assert digest == sha256(CONTENT).hexdigest()
    new = NewEvidence(case, digest, upload, "a.txt", "a.txt", size, "text/plain", user)
    evidence = (await parts.evidence.register(new)).id
    words = CONTENT.decode()
    chunk = ChunkDraft(0, 0, 0, len(words), words, [])
    still = parts.blobs.open_writer()
    still.write(b"a picture")
    address, size = still.commit()
    made = {"name": "still.png", "media_type": "image/png", "sha256": address, "bytes": size}
    await parts.evidence.store_text(
        evidence,
        title="a.txt",
        text=words,
        pages=[(0, len(words))],
        meta={"lines": 1, "derived": [made]},
        chunks=[chunk],
    )
    await parts.evidence.set_summary(evidence, [{"text": words, "start": 0, "end": len(words), "page": 0}])
    return evidence


# Accepted, so that it stays when the persons of interest change and all names are looked for anew.
async def _entity(live: Live, case: str, evidence: int) -> int:
    async with live.parts.database.begin() as connection:
        entity = await connection.scalar(
            text(
                "INSERT INTO entities (case_id, kind, key, name, status)"
                " VALUES (:case, 'person', 'ada', 'Ada Example', 'accepted') RETURNING id"
            ),
            {"case": case},
        )
        await connection.execute(
            text(
                'INSERT INTO mentions (chunk_id, start, entity_id, "end")'
                " SELECT id, 0, :entity, 11 FROM chunks WHERE evidence_id = :evidence"
            ),
            {"entity": entity, "evidence": evidence},
        )
    return int(entity)
