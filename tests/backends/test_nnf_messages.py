"""The messages on the wire, held against bytes written down from datamovement.proto's numbers."""

from poststage.backends.nnf_messages import classes

M = classes()
WORKFLOW = b"\x0a\x06\x0a\x01w\x12\x01n"  # field 1: {name 1: "w", namespace 2: "n"}
MINUS_ONE = b"\xff" * 9 + b"\x01"


def made(name: str, **fields: object) -> bytes:
    """A request as it goes out."""
    workflow = {"name": "w", "namespace": "n"}
    return bytes(M[name](workflow=workflow, **fields).SerializeToString(deterministic=True))


def test_requests_have_the_vendor_s_field_numbers() -> None:
    assert made("ListRequest") == WORKFLOW
    assert made("CancelRequest", uid="u") == WORKFLOW + b"\x12\x01u"
    assert made("StatusRequest", uid="u", maxWaitTime=5) == WORKFLOW + b"\x12\x01u\x18\x05"
    fields = {"source": "s", "destination": "d", "dcpOptions": "o", "profile": "p"}
    assert made("CreateRequest", **fields, slots=-1, maxSlots=-1) == (
        WORKFLOW + b"\x12\x01s\x1a\x01d\x2a\x01o" + b"\x40" + MINUS_ONE + b"\x48" + MINUS_ONE
        + b"\x52\x01p"
    )  # fmt: skip


def test_replies_are_read_by_the_vendor_s_field_numbers() -> None:
    created = M["CreateResponse"].FromString(b"\x0a\x01u\x10\x02\x1a\x01m")
    assert (created.uid, created.status, created.message) == ("u", 2, "m")
    command = b"\x22\x05\x0a\x01c\x10\x07"
    times = b"\x2a\x01a\x32\x01b"  # startTime 5 and endTime 6, which nobody reads
    told = M["StatusResponse"].FromString(b"\x08\x03\x10\x02\x1a\x01m" + command + times)
    assert (told.state, told.status, told.message) == (3, 2, "m")
    assert (told.commandStatus.command, told.commandStatus.progress) == ("c", 7)
    assert list(M["ListResponse"].FromString(b"\x0a\x01a\x0a\x01b").uids) == ["a", "b"]
    assert M["CancelResponse"].FromString(b"\x08\x02\x12\x01m").status == 2
