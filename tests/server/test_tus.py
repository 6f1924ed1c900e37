"""The tus protocol, request by request."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from server.services import Services
from server.settings import Settings
from storage.parts_disk import DiskParts
from tests.server.live import Live, running
from tests.server.test_uploads import announce, eventually, machine_in
from tests.server.tusing import ask, begun, create, head, metadata, offset_of, patch

ADA = b"Ada Example signed the contract."


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    digest = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    return f"{algorithm} {digest}"


async def test_options_tell_what_is_spoken_to_everybody(live: Live) -> None:
    async with live.person(login=False) as nobody:
        answer = await nobody.http.options("/api/cases/any/tus")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-extension"].split(",") == [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
    ]
    assert answer.headers["tus-max-size"] == str(live.parts.settings.max_upload_bytes)
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"


async def test_a_file_sent_in_two_requests_reaches_its_machine(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(ADA)))
        snapshot = await machine_in(live, machine, "receiving")
        assert (snapshot.context["filename"], snapshot.context["bytes"]) == ("a.txt", len(ADA))
        first = await patch(ann, url, 0, ADA[:5])
        assert (first.status_code, first.headers["upload-offset"]) == (204, "5")
        assert await offset_of(ann, url) == 5
        last = await patch(ann, url, 5, ADA[5:])
        assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(ADA)))
        snapshot = await machine_in(live, machine, "verifying")
        address = hashlib.sha256(ADA).hexdigest()
        assert (snapshot.context["sha256"], snapshot.context["bytes"]) == (address, len(ADA))
        assert live.parts.blobs.read(address) == ADA
        assert await offset_of(ann, url) == len(ADA)


async def test_head_tells_all_that_was_said_at_the_creation(live: Live) -> None:
    told = metadata(filename="a.txt", filetype="text/plain", note="") + ",empty"
    async with live.person() as ann:
        url, _ = await begun(ann, await ann.case(), upload_length="9", upload_metadata=told)
        answer = await head(ann, url)
    assert answer.status_code == 200
    assert answer.headers["upload-length"] == "9"
    assert answer.headers["upload-metadata"] == told
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert "upload-concat" not in answer.headers


async def test_a_file_may_come_with_its_creation(live: Live) -> None:
    async with live.person() as ann:
        answer = await create(ann, await ann.case(), upload_length=str(len(ADA)), content=ADA)
        assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(ADA)))
        assert "upload-expires" not in answer.headers
        await machine_in(live, answer.headers["casewire-machine"], "verifying")


async def test_a_creation_may_bring_the_first_bytes_only(live: Live) -> None:
    async with live.person() as ann:
        answer = await create(ann, await ann.case(), upload_length=str(len(ADA)), content=ADA[:7])
        assert (answer.status_code, answer.headers["upload-offset"]) == (201, "7")
        done = await patch(ann, answer.headers["location"], 7, ADA[7:])
        assert done.status_code == 204
        await machine_in(live, answer.headers["casewire-machine"], "verifying")


async def test_a_length_may_be_told_later_and_then_never_again(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_defer_length="1")
        assert (await head(ann, url)).headers["upload-defer-length"] == "1"
        assert (await patch(ann, url, 0, b"one ")).status_code == 204
        assert "upload-length" not in (await head(ann, url)).headers
        assert (await patch(ann, url, 4, b"two", upload_length="3")).status_code == 400
        assert (await patch(ann, url, 4, b"two ", upload_length="13")).status_code == 204
        asked = await head(ann, url)
        assert (asked.headers["upload-length"], "upload-defer-length" in asked.headers) == ("13", False)
        assert (await patch(ann, url, 8, b"x", upload_length="14")).status_code == 400
        assert (await patch(ann, url, 8, b"three")).status_code == 204
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(b"one two three").hexdigest()


async def test_a_length_told_with_nothing_left_to_send_ends_the_upload(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_defer_length="1")
        assert (await patch(ann, url, 0, ADA)).status_code == 204
        assert (await patch(ann, url, len(ADA), b"", upload_length=str(len(ADA)))).status_code == 204
        await machine_in(live, machine, "verifying")


REFUSED: list[tuple[str, dict[str, str], int, str]] = [
    ("no version", {"tus_resumable": "-", "upload_length": "5"}, 412, "tus.version"),
    ("another version", {"tus_resumable": "0.2.2", "upload_length": "5"}, 412, "tus.version"),
    ("no length", {}, 400, "request.header"),
    ("two lengths", {"upload_length": "5", "upload_defer_length": "1"}, 400, "request.header"),
    ("a negative length", {"upload_length": "-5"}, 400, "request.header"),
    ("a length in words", {"upload_length": "five"}, 400, "request.header"),
    ("a length beyond all numbers", {"upload_length": "9" * 19}, 400, "request.header"),
    ("a deferred length of 2", {"upload_defer_length": "2"}, 400, "request.header"),
    ("an empty file", {"upload_length": "0"}, 422, "upload.empty"),
    ("a file too large", {"upload_length": str((1 << 40) + 1)}, 413, "upload.too_large"),
    ("no name", {"upload_length": "5", "upload_metadata": "-"}, 422, "event.payload"),
    (
        "metadata not in base64",
        {"upload_length": "5", "upload_metadata": "filename a!"},
        400,
        "request.header",
    ),
    (
        "metadata not in UTF-8",
        {"upload_length": "5", "upload_metadata": "filename /w=="},
        400,
        "request.header",
    ),
    ("a key twice", {"upload_length": "5", "upload_metadata": "a YQ==,a YQ=="}, 400, "request.header"),
    ("an empty key", {"upload_length": "5", "upload_metadata": "a YQ==,,b YQ=="}, 400, "request.header"),
    (
        "NUL in a name",
        {"upload_length": "5", "upload_metadata": metadata(filename="a\0.txt")},
        400,
        "request.header",
    ),
    (
        "a hash that is none",
        {"upload_length": "5", "upload_metadata": metadata(filename="a", sha256="abc")},
        400,
        "request.header",
    ),
    (
        "a parent that is none",
        {"upload_length": "5", "upload_metadata": metadata(filename="a", parent="x")},
        400,
        "request.header",
    ),
    (
        "a parent of nobody",
        {"upload_length": "5", "upload_metadata": metadata(filename="a", parent="77")},
        404,
        "not_found",
    ),
    (
        "a topic of another case",
        {"upload_length": "5", "upload_metadata": metadata(filename="a", topic="case:other")},
        400,
        "request.header",
    ),
    (
        "a machine of nobody",
        {"upload_length": "5", "upload_metadata": metadata(filename="a", machine="upload-0-77")},
        404,
        "not_found",
    ),
    ("an odd concat", {"upload_length": "5", "upload_concat": "half"}, 400, "request.header"),
    ("a final of nothing", {"upload_concat": "final;"}, 400, "request.header"),
    ("a final of another server", {"upload_concat": "final;/files/a"}, 400, "request.header"),
    ("a final of strangers", {"upload_concat": "final;/api/tus/abc"}, 409, "upload.unfit_parts"),
    ("a final twice of one", {"upload_concat": "final;/api/tus/a /api/tus/a"}, 400, "request.header"),
    (
        "a final with a length",
        {"upload_concat": "final;/api/tus/a", "upload_length": "5"},
        400,
        "request.header",
    ),
    ("an odd key", {"upload_length": "5", "idempotency_key": ""}, 422, "request.invalid"),
]


async def test_a_creation_that_makes_no_sense_is_refused_with_a_sentence(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        wrong = {}
        for name, headers, status, code in REFUSED:
            answer = await create(ann, case, **headers)
            told = (answer.status_code, answer.json().get("code"), "tus-version" in answer.headers)
            if told != (status, code, status == 412) or answer.headers["tus-resumable"] != "1.0.0":
                wrong[name] = told
        assert wrong == {}
        machines = await live.parts.store.read_topic(f"case:{case['id']}")
        assert [one.kind for one in machines.machines if one.kind == "upload"] == []
        resumable = await ann.call("GET", f"/api/cases/{case['id']}/tus")
        assert resumable.json() == []


PATCHES: list[tuple[str, dict[str, Any], int, str]] = [
    ("another type", {"content_type": "application/octet-stream"}, 415, "request.media_type"),
    ("no offset", {"upload_offset": "-"}, 400, "request.header"),
    ("a negative offset", {"upload_offset": "-1"}, 400, "request.header"),
    ("an earlier offset", {"upload_offset": "0"}, 409, "upload.offset"),
    ("a later offset", {"upload_offset": "6"}, 409, "upload.offset"),
    ("more than announced", {"content": b"x" * 6}, 413, "upload.too_large"),
    ("another version", {"tus_resumable": "2.0.0"}, 412, "tus.version"),
    ("a checksum of no kind", {"upload_checksum": "crc32 AAAA"}, 400, "request.header"),
    ("a checksum that is none", {"upload_checksum": "sha1 AAAA"}, 400, "request.header"),
    ("a checksum not in base64", {"upload_checksum": "sha1 ?"}, 400, "request.header"),
    ("a wrong checksum", {"upload_checksum": checksum(b"other")}, 460, "tus.checksum"),
    ("another length", {"upload_length": "11"}, 400, "request.header"),
]


async def test_a_patch_that_does_not_fit_changes_nothing(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="10")
        assert (await patch(ann, url, 0, b"12345")).status_code == 204
        wrong = {}
        for name, given, status, code in PATCHES:
            answer = await ask(ann, "PATCH", url, **{"upload_offset": "5", "content": b"67890"} | given)
            told = (answer.status_code, answer.json().get("code"), answer.headers["tus-resumable"])
            if told != (status, code, "1.0.0") or await offset_of(ann, url) != 5:
                wrong[name] = told
        assert wrong == {}
        assert (await patch(ann, url, 5, b"67890")).status_code == 204
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(b"1234567890").hexdigest()


async def test_more_than_announced_in_a_body_of_no_declared_length_is_not_kept(live: Live) -> None:
    async def body() -> Any:
        yield b"12345"
        yield b"678901"

    async with live.person() as ann:
        url, _ = await begun(ann, await ann.case(), upload_length="10")
        answer = await patch(ann, url, 0, body())
        assert (answer.status_code, answer.json()["code"]) == (413, "upload.too_large")
        assert await offset_of(ann, url) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_a_checksum_that_fits_lets_the_bytes_in(live: Live, algorithm: str) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(ADA)))
        answer = await patch(ann, url, 0, ADA[:9], upload_checksum=checksum(ADA[:9], algorithm))
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, "9")
        answer = await patch(ann, url, 9, ADA[9:], upload_checksum=checksum(ADA[9:], algorithm))
        assert answer.status_code == 204
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(ADA).hexdigest()


async def test_a_creation_with_a_wrong_checksum_keeps_no_byte(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        headers = {"upload_length": str(len(ADA)), "upload_checksum": checksum(b"other")}
        answer = await create(ann, case, content=ADA, **headers)
        assert (answer.status_code, answer.json()["code"]) == (460, "tus.checksum")
        (left,) = (await ann.call("GET", f"/api/cases/{case['id']}/tus")).json()
        assert left["offset"] == 0
        assert (await patch(ann, left["url"], 0, ADA)).status_code == 204


async def test_what_can_be_resumed_lasts_a_day_and_says_so(live: Live) -> None:
    async with live.person() as ann:
        answer = await create(ann, await ann.case(), upload_length="10")
        until = parsedate_to_datetime(answer.headers["upload-expires"])
        assert timedelta(hours=23) < until - datetime.now(UTC) < timedelta(hours=25)
        answer = await patch(ann, answer.headers["location"], 0, b"12345")
        assert parsedate_to_datetime(answer.headers["upload-expires"]) >= until


async def test_an_upload_that_was_terminated_is_gone_and_its_machine_cancelled(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="10")
        assert (await patch(ann, url, 0, b"12345")).status_code == 204
        answer = await ask(ann, "DELETE", url)
        assert (answer.status_code, answer.headers["tus-resumable"]) == (204, "1.0.0")
        await machine_in(live, machine, "cancelled")
        assert (await head(ann, url)).status_code == 410
        gone = await patch(ann, url, 5, b"67890")
        assert (gone.status_code, gone.json()["code"]) == (410, "upload.gone")
        assert (await ask(ann, "DELETE", url)).status_code == 410
        assert _stored(live, machine) == 0


async def test_a_machine_that_is_cancelled_takes_its_parts_with_it(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        url, machine = await begun(ann, await ann.case(), upload_length="10")
        await patch(ann, url, 0, b"12345")
        await wire.ask("send", machine=machine, event="cancel", data={})

        async def dropped() -> bool:
            return _stored(live, machine) == 0 and (await head(ann, url)).status_code == 410

        await eventually(dropped)


async def test_parts_are_joined_in_the_order_that_is_told(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        machine = await announce(ann, case, size=9)
        urls = []
        for content in (b"three", b"one", b"two"):
            url, owner = await begun(
                ann, case, upload_length=str(len(content)), upload_concat="partial",
                upload_metadata=metadata(machine=machine),
            )  # fmt: skip
            assert owner == machine
            assert (await head(ann, url)).headers["upload-concat"] == "partial"
            assert (await patch(ann, url, 0, content)).status_code == 204
            urls.append(url)
        final = f"final;{live.url}{urls[1]} {urls[2]} {urls[0]}"
        answer = await create(
            ann, case, upload_concat=final, upload_metadata=metadata(filename="a.txt", machine=machine)
        )
        assert answer.status_code == 201
        assert "upload-offset" not in answer.headers
        snapshot = await machine_in(live, machine, "assembling")
        assert snapshot.context["bytes"] == 11
        asked = await head(ann, answer.headers["location"])
        assert (asked.headers["upload-length"], asked.headers["upload-offset"]) == ("11", "11")
        assert asked.headers["upload-concat"] == f"final;{urls[1]} {urls[2]} {urls[0]}"
        refused = await patch(ann, answer.headers["location"], 11, b"more")
        assert (refused.status_code, refused.json()["code"]) == (403, "upload.final")
        again = await create(
            ann, case, upload_concat=final, upload_metadata=metadata(filename="a.txt", machine=machine)
        )
        # The machine waits no more; who asks again has not heard the answer.
        assert (again.status_code, again.headers["location"]) == (201, answer.headers["location"])


async def test_a_join_whose_answer_was_lost_gets_the_same_answer_again(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        url, owner = await begun(ann, case, upload_length="5", upload_concat="partial", content=b"whole")
        assert owner == ""
        first = await create(ann, case, upload_concat=f"final;{url}")
        again = await create(ann, case, upload_concat=f"final;{url}")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.headers["location"] == again.headers["location"]
        assert first.headers["casewire-machine"] == again.headers["casewire-machine"]
        await machine_in(live, first.headers["casewire-machine"], "assembling")
        other, _ = await begun(ann, case, upload_length="1", upload_concat="partial", content=b"x")
        refused = await create(ann, case, upload_concat=f"final;{url} {other}")
        assert (refused.status_code, refused.json()["code"]) == (409, "upload.unfit_parts")


async def test_parts_that_are_not_whole_cannot_be_joined(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        url, _ = await begun(ann, case, upload_length="5", upload_concat="partial", content=b"who")
        refused = await create(ann, case, upload_concat=f"final;{url}")
        assert (refused.status_code, refused.json()["code"]) == (409, "upload.unfit_parts")
        assert (await patch(ann, url, 3, b"le")).status_code == 204
        assert (await create(ann, case, upload_concat=f"final;{url}")).status_code == 201


async def test_a_whole_upload_is_no_part_of_another(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        url, _ = await begun(ann, case, upload_length="5", content=b"who")
        refused = await create(ann, case, upload_concat=f"final;{url}")
        assert (refused.status_code, refused.json()["code"]) == (409, "upload.unfit_parts")


async def test_a_method_can_be_told_by_a_header(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="10")
        over = {"x_http_method_override": "PATCH", "upload_offset": "0"}
        answer = await ask(ann, "POST", url, content=b"12345", **over)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, "5")
        answer = await ask(ann, "POST", url, x_http_method_override="HEAD")
        assert (answer.status_code, answer.headers["upload-offset"]) == (200, "5")
        for odd in ("GET", "-"):
            assert (await ask(ann, "POST", url, x_http_method_override=odd)).status_code == 400
        # HEAD needs no CSRF token, so it must not become anything that does.
        assert (await ask(ann, "HEAD", url, x_http_method_override="DELETE")).status_code == 400
        assert (await ask(ann, "POST", url, x_http_method_override="DELETE")).status_code == 204
        await machine_in(live, machine, "cancelled")


async def test_a_file_that_is_not_the_one_announced_fails_with_a_reason(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        told = metadata(filename="a.txt", sha256=hashlib.sha256(b"another").hexdigest())
        answer = await create(ann, case, upload_length=str(len(ADA)), upload_metadata=told, content=ADA)
        assert (answer.status_code, answer.json()["code"]) == (422, "upload.mismatch")
        machines = (await live.parts.store.read_topic(f"case:{case['id']}")).machines
        (machine,) = [one.id for one in machines if one.kind == "upload"]
        snapshot = await machine_in(live, machine, "failed")
        assert hashlib.sha256(ADA).hexdigest() in snapshot.context["reason"]
        assert (await wire.ask("send", machine=machine, event="retry", data={}))["to"] == ["receiving"]
        right = metadata(filename="a.txt", machine=machine, sha256=hashlib.sha256(ADA).hexdigest())
        answer = await create(ann, case, upload_length=str(len(ADA)), upload_metadata=right, content=ADA)
        assert answer.status_code == 201
        await machine_in(live, machine, "verifying")


async def test_an_upload_of_an_import_accounts_to_its_topic(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        topic = f"import:{case['id']}-9f"
        made = await live.parts.engine.spawn("upload", topic, {"filename": "b.txt", "bytes": len(ADA)})
        told = metadata(filename="b.txt", machine=made.machine)
        _, machine = await begun(ann, case, upload_length=str(len(ADA)), upload_metadata=told, content=ADA)
        assert machine == made.machine
        assert (await machine_in(live, machine, "verifying")).topic == topic
        told = metadata(filename="c.txt", topic=topic)
        _, machine = await begun(ann, case, upload_length=str(len(ADA)), upload_metadata=told, content=ADA)
        assert (await machine_in(live, machine, "verifying")).topic == topic


async def test_a_new_upload_for_the_same_machine_takes_the_place_of_the_earlier_one(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        machine = await announce(ann, case, size=10)
        told = metadata(filename="a.txt", machine=machine)
        first, _ = await begun(ann, case, upload_length="10", upload_metadata=told, content=b"12345")
        second, _ = await begun(ann, case, upload_length="10", upload_metadata=told)
        assert (await head(ann, first)).status_code == 410
        assert await offset_of(ann, second) == 0
        assert (await patch(ann, second, 0, b"abcdefghij")).status_code == 204
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == hashlib.sha256(b"abcdefghij").hexdigest()


async def test_a_creation_that_is_repeated_makes_nothing_twice(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        once = {"upload_length": str(len(ADA)), "idempotency_key": "k1"}
        first = await create(ann, case, content=ADA[:4], **once)
        again = await create(ann, case, content=ADA[:4], **once)
        assert (first.headers["location"], first.headers["casewire-machine"]) == (
            again.headers["location"],
            again.headers["casewire-machine"],
        )
        assert again.headers["upload-offset"] == "4"
        assert (await patch(ann, again.headers["location"], 4, ADA[4:])).status_code == 204
        done = await create(ann, case, content=ADA[:4], **once)
        assert (done.status_code, done.headers["upload-offset"]) == (201, str(len(ADA)))
        other = await create(ann, case, upload_length="1", idempotency_key="k1")
        assert other.headers["location"] != first.headers["location"]


async def test_what_can_be_resumed_is_listed_for_its_sender_alone(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "editor")
        told = metadata(filename="a.txt", fingerprint="f1")
        url, machine = await begun(ann, case, upload_length="10", upload_metadata=told, content=b"12345")
        path = f"/api/cases/{case['id']}/tus"
        (mine,) = (await ann.call("GET", f"{path}?fingerprint=f1")).json()
        assert {key: mine[key] for key in ("url", "machine", "length", "offset", "partial")} == {
            "url": url, "machine": machine, "length": 10, "offset": 5, "partial": False
        }  # fmt: skip
        assert (await ann.call("GET", f"{path}?fingerprint=f2")).json() == []
        assert (await ann.call("GET", f"{path}?machine={machine}")).json() == [mine]
        assert (await bob.call("GET", path)).json() == []


async def test_quotas_count_what_is_on_its_way(settings: Settings, services: Services, database: str) -> None:
    small = settings.model_copy(update={"quota_case_bytes": 20, "quota_user_bytes": 30})
    async with running(small, services) as live, live.person() as ann:
        one, other = await ann.case(), await ann.case("Another")
        first, _ = await begun(ann, one, upload_length="15")
        refused = await create(ann, one, upload_length="6")
        assert (refused.status_code, refused.json()["code"]) == (413, "upload.over_quota")
        assert "this case holds 15 bytes of at most 20 bytes" in refused.json()["detail"]
        await begun(ann, other, upload_length="14")
        refused = await create(ann, other, upload_length="2")
        assert "your uploads hold 29 bytes of at most 30 bytes" in refused.json()["detail"]
        assert (await ask(ann, "DELETE", first)).status_code == 204
        growing, _ = await begun(ann, one, upload_defer_length="1")
        assert (await patch(ann, growing, 0, b"x" * 12)).status_code == 204
        refused = await patch(ann, growing, 12, b"x" * 9)
        assert (refused.status_code, refused.json()["code"]) == (413, "upload.too_large")
        refused = await patch(ann, growing, 12, b"x" * 4, upload_length="25")
        assert (refused.status_code, refused.json()["code"]) == (413, "upload.over_quota")
        assert (await patch(ann, growing, 12, b"x" * 4, upload_length="16")).status_code == 204


async def test_a_file_that_the_disk_has_no_room_for_is_refused_before_it_comes(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskParts, "free_bytes", lambda self: 7)
    async with live.person() as ann:
        case = await ann.case()
        refused = await create(ann, case, upload_length="8")
        assert (refused.status_code, refused.json()["code"]) == (507, "storage.full")
        assert refused.json()["temporary"] is True
        url, _ = await begun(ann, case, upload_length="7")
        monkeypatch.setattr(DiskParts, "free_bytes", lambda self: 6)
        assert (await patch(ann, url, 0, b"1234567")).status_code == 507
        assert await offset_of(ann, url) == 0


async def test_only_editors_of_the_case_reach_an_upload(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob, live.person("eve") as eve:
        case = await ann.case()
        await ann.invite(case, bob, "viewer")
        url, _ = await begun(ann, case, upload_length="10")
        for person, status in ((bob, 403), (eve, 404)):
            assert (await create(person, case, upload_length="5")).status_code == status
            assert (await head(person, url)).status_code == status
            assert (await patch(person, url, 0, b"1")).status_code == status
            assert (await ask(person, "DELETE", url)).status_code == status
        await ann.invite(case, bob, "editor")
        assert (await patch(bob, url, 0, b"12345")).status_code == 204
        assert (await patch(ann, url, 5, b"67890")).status_code == 204


async def test_another_site_and_a_missing_csrf_token_are_refused(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        url, _ = await begun(ann, case, upload_length="10")
        foreign = await patch(ann, url, 0, b"1", origin="https://evil.example")
        assert (foreign.status_code, foreign.json()["code"]) == (403, "origin.forbidden")
        forged = await ann.http.patch(url, content=b"1", headers={"Upload-Offset": "0"})
        assert (forged.status_code, forged.json()["code"]) == (403, "csrf.wrong")
        assert await offset_of(ann, url) == 0


def _stored(live: Live, machine: str) -> int:
    """Bytes of all parts of an upload."""
    return DiskParts(live.parts.settings.data_dir / "parts").received(machine)
