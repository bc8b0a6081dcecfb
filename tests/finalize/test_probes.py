"""Asking backends: once each, nothing is rounded up, and nothing is cancelled in a dry run."""

from pathlib import Path

import pytest

from poststage import config
from poststage.backends.base import Answer
from poststage.finalize.pending import Pending
from poststage.finalize.probes import NEVER_STARTED, Probes
from poststage.model import TransferState
from tests.crash import vendor as stub
from tests.finalize.house import Vendor, id_of

S = TransferState


def pending(part: int = 0, **changes: object) -> Pending:
    """A recorded transfer of files, with the handle that the stub gives it."""
    fields: dict[str, object] = {
        "backend": stub.NAME,
        "tag": id_of(part),
        "handle": f"stub-{id_of(part)}",
        "recorded": True,
        "started": True,
        "moves_files": True,
        **changes,
    }
    return Pending(b"d", b"%d.state" % part, b"/s/d/%d.state" % part, **fields)  # type: ignore[arg-type] # checked by the tests


def asked(vendor: Vendor, *pendings: Pending, may_cancel: bool = True) -> list[Answer]:
    """The answers, in order."""
    probes = Probes(config.load(vendor.site), Path("/s"), may_cancel=may_cancel)
    try:
        found = probes.answers(pendings)
        return [found[one.path] for one in pendings]
    finally:
        probes.close()


def cancelled(vendor: Vendor) -> list[str]:
    return sorted(path.stem for path in vendor.ledger.glob("*.cancelled"))


@pytest.mark.parametrize("state", [S.FULLSUCCESS, S.FAILED, S.STOPPED, S.INPROGRESS])
def test_what_the_backend_says_is_what_is_told(vendor: Vendor, state: TransferState) -> None:
    vendor.says(0, state.value)
    assert asked(vendor, pending())[0].state is state
    assert cancelled(vendor) == []


def test_each_state_file_has_its_own_answer(vendor: Vendor) -> None:
    vendor.says(0, "FULLSUCCESS")
    vendor.says(1, "FAILED", {0: "FAILED"})
    one, two, three = asked(vendor, pending(0), pending(1), pending(2))
    assert (one.state, two.state, three.state) == (S.FULLSUCCESS, S.FAILED, S.UNKNOWN)


def test_what_was_never_started_is_cancelled_so_that_it_never_starts(vendor: Vendor) -> None:
    (vendor.ledger / f"{id_of(0)}.handle").touch()
    (answer,) = asked(vendor, pending(started=False))
    assert (answer.state, answer.reason) == (S.CANCELED, NEVER_STARTED)
    assert cancelled(vendor) == [id_of(0)]


def test_a_dry_run_cancels_nothing_and_tells_what_would_come_of_it(vendor: Vendor) -> None:
    (vendor.ledger / f"{id_of(0)}.handle").touch()
    (answer,) = asked(vendor, pending(started=False), may_cancel=False)
    assert (answer.state, answer.reason) == (S.CANCELED, NEVER_STARTED)
    assert cancelled(vendor) == []


def test_a_recorded_cancel_reaches_a_backend_that_still_copies(vendor: Vendor) -> None:
    (vendor.ledger / f"{id_of(0)}.0.started").write_text("[]")
    (answer,) = asked(vendor, pending(cancelled=True))
    assert answer.state is S.CANCELED
    assert cancelled(vendor) == [id_of(0)]


def test_a_recorded_cancel_does_not_undo_what_has_ended(vendor: Vendor) -> None:
    vendor.says(0, "FULLSUCCESS")
    assert asked(vendor, pending(cancelled=True))[0].state is S.FULLSUCCESS
    assert cancelled(vendor) == []


def test_without_a_handle_the_tag_finds_the_transfer(vendor: Vendor) -> None:
    vendor.says(0, "FULLSUCCESS")
    (vendor.ledger / f"{id_of(0)}.handle").touch()
    assert asked(vendor, pending(handle=None))[0].state is S.FULLSUCCESS


def test_what_the_backend_never_heard_of_was_never_started(vendor: Vendor) -> None:
    (answer,) = asked(vendor, pending(handle=None, started=False))
    assert (answer.state, answer.reason) == (S.CANCELED, NEVER_STARTED)


def test_what_was_started_and_is_not_known_any_more_is_unknown(vendor: Vendor) -> None:
    """A backend whose memory was lost must not make us delete what it has copied."""
    (answer,) = asked(vendor, pending(handle=None, started=True))
    assert answer.state is S.UNKNOWN


@pytest.mark.parametrize(
    ("backend", "word"),
    [("bbapi", "not allowed"), ("gone", "not installed"), ("\x1b[2J", "not allowed")],
)
def test_a_backend_that_cannot_be_asked_gives_no_answer_and_harms_no_other(
    vendor: Vendor, backend: str, word: str
) -> None:
    text = vendor.site.read_text().replace('["stub"]', '["stub", "gone"]')
    vendor.site.write_text(text)
    vendor.says(1, "FULLSUCCESS")
    other, ours = asked(vendor, pending(0, backend=backend), pending(1))
    assert other.state is S.UNKNOWN
    assert word in other.reason
    assert other.reason.isprintable()
    assert ours.state is S.FULLSUCCESS


def test_a_backend_whose_library_is_missing_gives_no_answer(vendor: Vendor) -> None:
    points = next((vendor.site.parent / "site-packages").rglob("entry_points.txt"))
    points.write_text("[poststage.backends]\nbroken = no_such_module:BACKEND\n")
    text = vendor.site.read_text().replace('["stub"]', '["stub", "broken"]')
    vendor.site.write_text(text)
    (answer,) = asked(vendor, pending(backend="broken"))
    assert answer.state is S.UNKNOWN
    assert "no_such_module" in answer.reason


def test_an_agent_that_is_alive_makes_it_a_running_transfer_and_nobody_is_asked(
    vendor: Vendor,
) -> None:
    vendor.says(0, "FULLSUCCESS")
    assert asked(vendor, pending(agent_alive=True, backend="nobody"))[0].state is S.INPROGRESS


def test_what_was_not_recorded_whole_was_not_started_and_nobody_is_asked(vendor: Vendor) -> None:
    (answer,) = asked(vendor, pending(recorded=False, backend="nobody"))
    assert answer.state is S.CANCELED
    assert "nothing of it was started" in answer.reason


def test_a_transfer_without_files_has_arrived_and_nobody_is_asked(vendor: Vendor) -> None:
    assert asked(vendor, pending(moves_files=False, backend="nobody"))[0].state is S.FULLSUCCESS
