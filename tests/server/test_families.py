"""On a running instance: what was found in removed evidence goes with it, and comes back with it."""

from __future__ import annotations

from storage.evidence import NewEvidence
from tests.server.live import Live, Person
from tests.server.runtime_parts import until
from tests.server.test_custody import evidence_of


async def test_attachments_leave_and_return_with_their_mail_for_everybody_in_the_case(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case, machine, mail = await evidence_of(live, ann)
        await ann.invite(case, bob, "viewer")

        async def found(name: str, parent: int) -> tuple[int, str]:
            topic = f"case:{case['id']}"
            data = {"filename": name, "bytes": 1, "parent": parent}
            upload = (await live.parts.engine.spawn("upload", topic, data, actor=ann.id)).machine
            new = NewEvidence(
                case["id"], name * 8, upload, name, name, 1, "text/plain", ann.id, parent_id=parent
            )
            return (await live.parts.evidence.register(new)).id, upload

        archive, _ = await found("a.zip", mail)
        letter, _ = await found("b.txt", archive)

        async def listed(person: Person, *rows: int) -> bool:
            answer = await person.http.get(f"/api/cases/{case['id']}/evidence")
            return [row["id"] for row in answer.json()] == list(rows)

        async def opened(person: Person) -> list[int]:
            paths = [f"/api/evidence/{row}" for row in (mail, archive, letter)]
            return [(await person.http.get(path)).status_code for path in paths]

        assert await listed(bob, mail, archive, letter)
        async with ann.socket() as socket:
            told = await socket.ask("send", machine=machine, event="remove", data={"reason": "privileged"})
            assert told["type"] == "ok"
            await until(lambda: listed(bob))
            assert await opened(bob) == [404, 404, 404]
            assert await opened(ann) == [200, 200, 200]
            counts = (await bob.http.get(f"/api/cases/{case['id']}")).json()
            assert counts["evidence"] == 0
            removed = (await ann.http.get(f"/api/cases/{case['id']}/removed")).json()["removed"]
            assert [row["id"] for row in removed] == [mail]  # what can be restored by itself
            late, _ = await found("c.txt", archive)  # it was on its way when the mail was removed
            assert (await bob.http.get(f"/api/evidence/{late}")).status_code == 404
            told = await socket.ask("send", machine=machine, event="restore", data={})
            assert told["type"] == "ok"
            await until(lambda: listed(bob, mail, archive, letter, late))
            assert await opened(bob) == [200, 200, 200]
