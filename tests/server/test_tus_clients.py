"""Real clients of the tus protocol: tuspy, our own, and random ones that misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tusclient.client import TusClient

from server.client import Client, Refused
from server.client_upload import AT_ONCE_BYTES, FileChanged, upload_file
from storage.blobs_disk import DiskBlobs
from storage.parts_disk import DiskParts
from tests.patience import PATIENCE_S
from tests.server.live import PASSWORD, Live, Person
from tests.server.test_uploads import announce, machine_in
from tests.server.tusing import begun, create, metadata, offset_of, patch

BIG = AT_ONCE_BYTES + 12_345


def content_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


async def token_of(person: Person) -> str:
    made = await person.call("POST", "/api/tokens", {"name": "a program", "scopes": ["write"]})
    return str(made.json()["secret"])


async def test_tuspy_sends_a_file_in_pieces_with_checksums(live: Live, tmp_path: Path) -> None:
    content = content_of(300_000)
    (tmp_path / "a.bin").write_bytes(content)
    async with live.person() as ann:
        case, token = await ann.case(), await token_of(ann)

        def send() -> str:
            client = TusClient(f"{live.url}/api/cases/{case['id']}/tus", {"Authorization": f"Bearer {token}"})
            with (tmp_path / "a.bin").open("rb") as file:
                uploader = client.uploader(
                    file_stream=file, chunk_size=70_000, metadata={"filename": "a.bin"}, upload_checksum=True
                )
                uploader.upload_chunk()
                uploader.upload_chunk()
                resumed = client.uploader(file_stream=file, url=uploader.url, chunk_size=100_000)
                assert resumed.offset == 140_000
                resumed.upload()
                return str(uploader.url)

        url = await asyncio.to_thread(send)
        machine = (await live.parts.uploading.transfers.get(url.rpartition("/")[2])).machine
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES, BIG])
async def test_our_client_sends_files_of_every_size(live: Live, tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "a file.bin", content_of(size)
    path.write_bytes(content)
    told: list[tuple[int, int]] = []
    async with live.person() as ann, Client(live.url, timeout_s=PATIENCE_S) as client:
        case = await ann.case()
        await client.login(ann.email, PASSWORD)
        machine = await client.upload_file(case["id"], path, lambda done, total: told.append((done, total)))
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(content).hexdigest()
        assert snapshot.context["filename"] == "a file.bin"
        assert told[-1] == (size, size)


class Flaky(httpx.AsyncBaseTransport):
    """A network that loses connections: requests before they are sent, bodies in the middle, and answers."""

    def __init__(self, faults: list[str]) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self.faults = faults

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "connect":
            raise httpx.ConnectError("no way there", request=request)
        if fault == "body" and request.method in ("POST", "PATCH"):
            request.stream = _Cut(request.stream)
        response = await self._inner.handle_async_request(request)
        if fault == "answer":
            await response.aread()
            raise httpx.ReadError("the answer was lost", request=request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Cut(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> Any:
        async for number, block in _numbered(self._stream):
            if number == 2:
                raise httpx.WriteError("the cable is out")
            yield block


async def _numbered(stream: Any) -> Any:
    number = 0
    async for block in stream:
        yield number, block
        number += 1


@pytest.mark.parametrize(
    ("size", "faults"),
    [
        (5_000, ["connect", "answer", "none"]),
        (AT_ONCE_BYTES, ["body", "answer", "none"]),
        (BIG, ["none", "answer", "none", "body", "none", "answer", "connect"]),
        (BIG, ["answer", "connect", "answer", "none", "body", "answer", "body", "answer"]),
    ],
)
async def test_our_client_gets_through_a_network_that_loses_connections(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, faults: list[str]
) -> None:
    monkeypatch.setattr("server.client_upload._FIRST_PAUSE_S", 0.01)
    path, content = tmp_path / "a.bin", content_of(size)
    path.write_bytes(content)
    async with live.person() as ann:
        case = await ann.case()
        headers = {"Authorization": f"Bearer {await token_of(ann)}"}
        async with httpx.AsyncClient(
            base_url=live.url, headers=headers, transport=Flaky(list(faults))
        ) as http:
            machine = await upload_file(http, case["id"], path)
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(content).hexdigest()
        machines = (await live.parts.store.read_topic(f"case:{case['id']}")).machines
        assert len([one for one in machines if one.kind == "upload"]) == 1


async def test_a_call_that_was_broken_off_is_gone_on_with_by_the_next(live: Live, tmp_path: Path) -> None:
    path, content = tmp_path / "a.bin", content_of(3 * AT_ONCE_BYTES)
    path.write_bytes(content)
    async with live.person() as ann, Client(live.url, timeout_s=PATIENCE_S) as client:
        case = await ann.case()
        await client.login(ann.email, PASSWORD)
        machine = await announce(ann, case, size=len(content))

        class Killed(Exception):
            pass

        def die(done: int, total: int) -> None:
            if done > total * 0.4:
                raise Killed

        with pytest.raises(Killed):
            await upload_file(client.http, case["id"], path, machine=machine, progress=die)
        await machine_in(live, machine, "paused")
        told: list[int] = []
        again = await upload_file(
            client.http, case["id"], path, machine=machine, progress=lambda done, _: told.append(done)
        )
        assert again == machine
        assert told[0] > len(content) * 0.3
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(content).hexdigest()


async def test_a_file_that_changes_while_it_is_sent_is_not_taken_for_whole(
    live: Live, tmp_path: Path
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content_of(BIG))
    async with live.person() as ann, Client(live.url, timeout_s=PATIENCE_S) as client:
        case = await ann.case()
        await client.login(ann.email, PASSWORD)

        def change(done: int, total: int) -> None:
            if 0 < done < total:
                path.write_bytes(b"other")

        with pytest.raises(FileChanged):
            await client.upload_file(case["id"], path, change)
        machines = (await live.parts.store.read_topic(f"case:{case['id']}")).machines
        states = {state for one in machines for state in one.configuration}
        assert states.isdisjoint({"verifying", "assembling"})


async def test_our_client_tells_a_refusal_in_the_servers_words(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    async with live.person() as ann, Client(live.url, timeout_s=PATIENCE_S) as client:
        await client.login(ann.email, PASSWORD)
        with pytest.raises(Refused, match="the file is empty") as told:
            await client.upload_file((await ann.case())["id"], path)
        assert told.value.code == "upload.empty"
        path.write_bytes(b"x")
        with pytest.raises(Refused, match="no such case"):
            await client.upload_file("none", path)


class Sending(RuleBasedStateMachine):
    """One upload, sent in any way a client might: sizes, cuts, wrong offsets, checksums, parallel parts."""

    live: Live
    person: Person
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    @initialize(data=st.binary(min_size=1, max_size=5000), pieces=st.integers(1, 3), deferred=st.booleans())
    def begin(self, data: bytes, pieces: int, deferred: bool) -> None:
        self.content = data * 40
        size = len(self.content)
        bounds = sorted({size * number // pieces for number in range(pieces + 1)})
        self.spans = list(pairwise(bounds))
        self.case = self.run(self.person.case())
        self.told = [0] * len(self.spans)
        self.machine = self.run(announce(self.person, self.case, size=size))
        self.deferred = deferred and len(self.spans) == 1
        self.urls = []
        for start, end in self.spans:
            headers = {"upload_metadata": metadata(filename="a", machine=self.machine)}
            headers |= {"upload_defer_length": "1"} if self.deferred else {"upload_length": str(end - start)}
            if len(self.spans) > 1:
                headers["upload_concat"] = "partial"
            self.urls.append(self.run(begun(self.person, self.case, **headers))[0])

    def piece(self, number: int) -> bytes:
        start, end = self.spans[number]
        return self.content[start:end]

    @rule(
        number=st.integers(0, 2),
        part=st.floats(0, 1),
        checksum=st.sampled_from(["", "sha1", "md5", "sha256"]),
    )
    def send(self, number: int, part: float, checksum: str) -> None:
        number %= len(self.spans)
        piece, offset = self.piece(number), self.told[number]
        block = piece[offset : offset + max(1, int(part * len(piece)))]
        if not block:
            return
        headers = {}
        if checksum:
            digest = hashlib.new(checksum, block).digest()
            headers["upload_checksum"] = f"{checksum} {base64.b64encode(digest).decode()}"
        if self.deferred and offset + len(block) == len(piece):
            headers["upload_length"] = str(len(piece))
        answer = self.run(patch(self.person, self.urls[number], offset, block, **headers))
        assert answer.status_code == 204, answer.text
        self.told[number] += len(block)
        assert answer.headers["upload-offset"] == str(self.told[number])

    @rule(number=st.integers(0, 2), part=st.floats(0, 1))
    def send_with_a_wrong_checksum(self, number: int, part: float) -> None:
        number %= len(self.spans)
        offset = self.told[number]
        block = self.piece(number)[offset : offset + max(1, int(part * 2000))]
        if block:
            wrong = base64.b64encode(hashlib.sha1(block + b"x", usedforsecurity=False).digest()).decode()
            answer = self.run(
                patch(self.person, self.urls[number], offset, block, upload_checksum=f"sha1 {wrong}")
            )
            assert answer.status_code == 460

    @rule(number=st.integers(0, 2), by=st.integers(-3000, 3000).filter(bool))
    def send_at_a_wrong_offset(self, number: int, by: int) -> None:
        number %= len(self.spans)
        if self.told[number] == len(self.piece(number)):
            return
        offset = max(0, self.told[number] + by)
        if offset != self.told[number]:
            answer = self.run(patch(self.person, self.urls[number], offset, b"wrong"))
            assert answer.status_code == 409

    @rule(number=st.integers(0, 2), part=st.floats(0, 1))
    def send_and_be_cut(self, number: int, part: float) -> None:
        number %= len(self.spans)
        piece, offset = self.piece(number), self.told[number]
        block = piece[offset : offset + int(part * len(piece))]
        if offset + len(block) >= len(piece):
            return

        async def cut() -> Any:
            yield block
            await asyncio.sleep(0.01)
            raise ConnectionResetError

        async def send() -> None:
            with pytest.raises(ConnectionResetError):
                await patch(self.person, self.urls[number], offset, cut())

        self.run(send())
        there = self.run(offset_of(self.person, self.urls[number]))
        assert offset <= there <= offset + len(block)
        self.told[number] = there

    @precondition(lambda self: self.unfinished())
    @invariant()
    def the_offset_is_what_was_told(self) -> None:
        number = sum(self.told) % len(self.spans)
        assert self.run(offset_of(self.person, self.urls[number])) == self.told[number]

    def unfinished(self) -> bool:
        return any(told < len(self.piece(number)) for number, told in enumerate(self.told))

    def teardown(self) -> None:
        if not hasattr(self, "urls"):
            return
        for number in range(len(self.spans)):
            while self.told[number] < len(self.piece(number)):
                self.send(number=number, part=1.0, checksum="")
        if len(self.spans) > 1:
            final = "final;" + " ".join(self.urls)
            headers = {
                "upload_concat": final,
                "upload_metadata": metadata(filename="a", machine=self.machine),
            }
            assert self.run(create(self.person, self.case, **headers)).status_code == 201
        assert self.run(self._arrived()) == hashlib.sha256(self.content).hexdigest()

    async def _arrived(self) -> str:
        from handlers.assemble import assemble_upload
        from machines.upload_events import AssembleUpload
        from tests.case_rows import QuietJob

        snapshot = await self.live.parts.engine.load(self.machine)
        assert snapshot is not None
        if "assembling" not in snapshot.configuration:
            return str(snapshot.context["sha256"])
        folder = self.live.parts.settings.data_dir
        job = QuietJob()
        job.machine, job.topic = self.machine, snapshot.topic
        done = await assemble_upload(
            AssembleUpload(snapshot.context["parts"], snapshot.context["bytes"]),
            job,
            transfers=self.live.parts.uploading.transfers,
            parts=DiskParts(folder / "parts"),
            blobs=DiskBlobs(folder / "blobs"),
            arrivals=self.live.parts.arrivals,
        )
        return done.sha256


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "examples", [pytest.param(6, id="few"), pytest.param(150, id="many", marks=pytest.mark.slow)]
)
async def test_whatever_a_client_does_the_bytes_are_the_same_at_the_end(live: Live, examples: int) -> None:
    loop = asyncio.get_running_loop()

    async with live.person() as ann:

        class Here(Sending):
            pass

        Here.live, Here.person = live, ann
        Here.run = staticmethod(  # type: ignore[assignment]
            lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(60)
        )
        settings = hypothesis.settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        )
        await asyncio.to_thread(run_state_machine_as_test, Here, settings=settings)
