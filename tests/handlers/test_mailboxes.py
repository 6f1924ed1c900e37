"""Mails in Outlook's forms and in mailboxes are read like any other mail."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.parsing import lzfu, mail, mapi, mbox, msg, pst, svg, tnef
from handlers.parsing.parsed import Parsed, Unreadable
from tests.handlers import files
from tests.handlers.outlet import Kept, read_with
from tests.handlers.pst_file import Values
from tests.handlers.pst_file import pst as pst_of


def read_msg(content: bytes) -> tuple[Parsed, Kept]:
    return read_with(msg.read, content, "application/vnd.ms-outlook")


def read_mbox(content: bytes, limit: int = 1000) -> tuple[Parsed, Kept]:
    return read_with(mbox.read, content, "application/mbox", files=limit)


def test_a_mail_knows_its_thread() -> None:
    message = files.mail()
    message["In-Reply-To"] = "<0@example.org>"
    message["References"] = "<a@example.org>  <b@example.org> <a@example.org> nonsense"
    parsed, _ = read_with(mail.read, message.as_bytes(), "message/rfc822")
    assert parsed.meta["thread"] == {
        "id": "<1@example.org>",
        "in_reply_to": "<0@example.org>",
        "references": ["<a@example.org>", "<b@example.org>"],
    }


def test_an_outlook_message_is_a_mail() -> None:
    inner = files.msg(subject="Inside", body="Deep words.", top=False)
    tree = files.msg(
        subject="Grüße über Köln",
        body="Where is the red folder?",
        attachments={"plän.pdf": b"%PDF-1.7 x" * 1000, "inner": inner},
        **{"1035": "<5@example.org>", "1042": "<4@example.org>"},
    )
    parsed, kept = read_msg(files.ole_of(tree))
    assert parsed.title == "Grüße über Köln"
    assert "Where is the red folder?" in parsed.text
    assert "Deep words" not in parsed.text
    assert parsed.meta["from"] == [{"name": "Ann Orr", "address": "ann.orr@example.org"}]
    assert parsed.meta["cc"] == [{"name": "Ben Poe", "address": "ben@example.org"}]
    assert parsed.meta["date"] == "2018-09-01T22:00:00+00:00"
    assert parsed.meta["thread"]["in_reply_to"] == "<4@example.org>"
    assert [name for name, _ in kept.attached] == ["plän.pdf", "Inside.eml"]
    assert kept.attached[0][1] == b"%PDF-1.7 x" * 1000
    inside, _ = read_with(mail.read, kept.attached[1][1], "message/rfc822")
    assert "Deep words." in inside.text
    assert read_msg(files.ole_of(tree))[1].attached == kept.attached


def test_headers_that_came_with_an_outlook_message_are_kept() -> None:
    said = (
        "Received: by x\r\nFrom: Real <real@example.org>\r\nContent-Type: text/plain;\r\n charset=x\r\nX-A: b"
    )
    parsed, _ = read_msg(files.ole_of(files.msg(subject="S", body="B", **{"007D": said})))
    assert parsed.meta["from"] == [{"name": "Real", "address": "real@example.org"}]
    assert parsed.text.endswith("B")


def test_an_outlook_message_without_sense_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="damaged"):
        read_msg(files.ole("__properties_version1.0", "Other"))
    with pytest.raises(Unreadable, match="damaged"):
        read_msg(files.ole_of(files.msg(subject="S"))[:600])


def test_messages_within_messages_end_somewhere() -> None:
    tree = files.msg(subject="0", body="x", top=False)
    for level in range(mapi.MAX_DEPTH + 5):
        tree = files.msg(subject=str(level + 1), attachments={"m": tree}, top=False)
    _, kept = read_msg(files.ole_of({**tree, "__properties_version1.0": bytes(32)}))
    assert [name for name, _ in kept.attached] == [f"{mapi.MAX_DEPTH + 4}.eml"]


def test_the_outlook_bundle_of_a_mail_is_read_with_its_files() -> None:
    content = files.tnef(body="Bundled words.", attachments={"ein plan.pdf": b"%PDF-1.7 x", "b.txt": b"b"})
    parsed, kept = read_with(tnef.read, content, "application/vnd.ms-tnef")
    assert "Bundled words." in parsed.text
    assert kept.attached == [("ein plan.pdf", b"%PDF-1.7 x"), ("b.txt", b"b")]
    with pytest.raises(Unreadable, match="damaged"):
        read_with(tnef.read, content[:10], "application/vnd.ms-tnef")


@given(st.data())
def test_a_damaged_bundle_is_read_in_part_or_refused(data: st.DataObject) -> None:
    content = bytearray(files.tnef(body="Words.", attachments={"a": b"x" * 50}))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed, _ = read_with(tnef.read, bytes(content), "application/vnd.ms-tnef")
    except Unreadable:
        return
    assert isinstance(parsed.text, str)


def test_packed_rich_text_is_unpacked() -> None:
    # The example of the specification, section 3.1.
    packed = (
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert lzfu.unpack(bytes.fromhex(packed)).startswith(b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}")
    assert lzfu.unpack(b"") == lzfu.unpack(bytes(40)) == b""


@given(st.binary(max_size=300))
def test_no_content_disturbs_the_unpacking_of_rich_text(content: bytes) -> None:
    lzfu.unpack(struct.pack("<2L4sL", len(content), 500, b"LZFu", 0) + content)


def test_each_mail_of_a_mailbox_comes_out_whole() -> None:
    mails = [
        files.mail(subject=f"Number {i}", body=f"Words {i}.\n\nFrom here on\nall is well.\n").as_bytes()
        for i in range(3)
    ]
    quoted = [one.replace(b"\nFrom here", b"\n>From here") for one in mails]
    content = b"".join(b"From ann@example.org Tue Jun  4 10:00:00 2019\n" + one + b"\n\n" for one in quoted)
    parsed, kept = read_mbox(content)
    assert [name for name, _ in kept.attached] == [f"{i + 1:04} Number {i}.eml" for i in range(3)]
    assert [inner.rstrip(b"\n") for _, inner in kept.attached] == [one.rstrip(b"\n") for one in mails]
    assert parsed.meta == {"entries": 3}
    parsed, kept = read_mbox(content, limit=1)
    assert (len(kept.attached), parsed.meta["entries"], parsed.meta["left_out"]) == (1, 3, 2)


def test_a_line_within_a_mail_separates_nothing() -> None:
    body = "Words.\nFrom Monday 2019 on it rains.\n"
    content = b"From a@example.org Tue Jun  4 10:00:00 2019\n" + files.mail(body=body).as_bytes()
    _, kept = read_mbox(content)
    assert len(kept.attached) == 1
    with pytest.raises(Unreadable, match="does not begin with a mail"):
        read_mbox(b"words\n" + content)


def test_a_mail_archive_that_is_none_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="damaged or incomplete"):
        read_with(pst.read, b"!BDN" + bytes(600), "application/vnd.ms-outlook-pst")


def archive() -> bytes:
    first: Values = {
        0x001A: "IPM.Note",
        mapi.SUBJECT: "Grüße",
        mapi.BODY: "Where is the red folder?",
        mapi.MESSAGE_ID: "<1@example.org>",
        0x0C1A: "Ann Orr",
        0x5D01: "ann.orr@example.org",
        mapi.SUBMITTED: 131_803_128_000_000_000,
    }
    answer: Values = {0x001A: "IPM.Note", mapi.SUBJECT: "Re/Grüße", mapi.IN_REPLY_TO: "<1@example.org>"}
    unusual: Values = {0x001A: "Odd.Class", mapi.SUBJECT: "Odd", mapi.BODY: "Odd words."}
    return pst_of({"Inbox": [first, answer], "a/../b": [unusual], "Empty": []})


def test_each_message_of_a_mail_archive_comes_out_with_its_folder() -> None:
    parsed, kept = read_with(pst.read, archive(), "application/vnd.ms-outlook-pst")
    names = [name for name, _ in kept.attached]
    assert names == ["Inbox/0001 Grüße.eml", "Inbox/0002 Re Grüße.eml", "a .. b/0001 Odd.eml"]
    assert parsed.meta == {"entries": 3, "folders": ["Inbox (2)", "a .. b (1)"]}
    assert kept.told[-1] == (3, 3, "messages")
    first, answer, unusual = (
        read_with(mail.read, content, "message/rfc822")[0] for _, content in kept.attached
    )
    assert first.title == "Grüße"
    assert first.text.endswith("Where is the red folder?")
    assert first.meta["from"] == [{"name": "Ann Orr", "address": "ann.orr@example.org"}]
    assert first.meta["date"] == "2018-09-01T22:00:00+00:00"
    assert answer.meta["thread"]["in_reply_to"] == first.meta["thread"]["id"]
    assert unusual.text.endswith("Odd words.")
    assert read_with(pst.read, archive(), "application/vnd.ms-outlook-pst")[1].attached == kept.attached


def test_a_large_mail_archive_is_read_to_the_end_and_its_rest_is_counted() -> None:
    many = [{0x001A: "IPM.Note", mapi.SUBJECT: f"Number {i}"} for i in range(60)]
    content = pst_of({"Inbox": many, "Sent": many})
    parsed, kept = read_with(pst.read, content, "application/vnd.ms-outlook-pst")
    assert len(kept.attached) == parsed.meta["entries"] == 120
    parsed, kept = read_with(pst.read, content, "application/vnd.ms-outlook-pst", files=70)
    assert (len(kept.attached), parsed.meta["entries"], parsed.meta["left_out"]) == (70, 120, 50)


def test_an_svg_picture_is_read_for_its_words_alone() -> None:
    drawn = b"<svg><title>A plan</title><script>evil()</script><text>Gate <tspan>two</tspan></text></svg>"
    parsed, _ = read_with(svg.read, drawn, "image/svg+xml")
    assert (parsed.title, parsed.text) == ("A plan", "A plan\nGate two")


def test_real_messages_are_read(documents: Path) -> None:
    folder = documents / "email"
    titles = {
        path.name: read_with(msg.read, path, "application/vnd.ms-outlook")[0].title
        for path in sorted(folder.glob("*.msg"))
    }
    assert titles["testMSG_chinese.msg"].endswith("( MSG 格式測試 )")
    assert titles["testMSG_forwarded.msg"] == "FW: Testing"
    _, kept = read_with(msg.read, folder / "testMSG_att_msg.msg", "application/vnd.ms-outlook")
    assert [name.rpartition(".")[2] for name, _ in kept.attached] == ["eml", "pdf"]
    assert kept.attached[1][1].startswith(b"%PDF-")
    for path in folder.glob("*.mbox"):
        _, kept = read_with(mbox.read, path, "application/mbox")
        assert kept.attached[0][1] == path.read_bytes().partition(b"\n")[2]
