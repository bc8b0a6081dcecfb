"""Every message is read as it was written, and nothing else is."""

import pytest

from poststage.copier import protocol as p
from poststage.copier.records import ItemRecord, OutcomeRecord

ITEM = ItemRecord(1, "/bb/a", "/pfs/.a", 2, 3)


@pytest.mark.parametrize(
    "request_",
    [
        p.Hello(),
        p.MakeHandle("tag"),
        p.Add("0-tag", 0, [ITEM]),
        p.Start("0-tag", 1),
        p.Status(["0-tag"]),
        p.ListAll(),
        p.Find(["tag"]),
        p.Cancel("0-tag"),
        p.Resume("0-tag"),
        p.Control("faults", {"hang": True}),
        p.Stop(),
    ],
)
def test_a_request_survives_the_way(request_: p.AnyRequest) -> None:
    assert p.request_of(p.line_of(request_)) == request_


@pytest.mark.parametrize(
    "reply",
    [
        p.Done(),
        p.Refused("no", "hint", 2),
        p.HelloReply(1, "program", 2, "host", 3, "0000abcd"),
        p.HandleReply("0-tag"),
        p.FoundReply({"tag": "0-tag"}),
        p.StatusReply("0-tag", "FAILED", "why", 1, 2, 3, [4], [OutcomeRecord(5, "FAILED")]),
        p.ControlReply({"a": [1]}),
    ],
)
def test_a_reply_survives_the_way(reply: p.AnyReply) -> None:
    assert p.reply_of(p.line_of(reply)) == reply


@pytest.mark.parametrize("tag", ["", ".", "a/b", "a b", "x" * 129, "é", "-x", "a\n"])
def test_a_tag_is_a_plain_word(tag: str) -> None:
    with pytest.raises(ValueError, match="matching regex"):
        p.request_of(p.line_of(p.MakeHandle(tag)))


def test_a_handle_and_its_journal_fit_into_a_file_name() -> None:
    assert len("0000abcd-" + "x" * 128 + ".journal") < 255
