"""The emulator, faults and all, seen from its clients."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from poststage.backends.base import Answer, Context
from poststage.backends.contract import begun, copied, ended, moved, original, state, write
from poststage.backends.emulator import BACKEND
from poststage.copier import root as roots
from poststage.errors import BackendError, UsageError
from poststage.model import TransferState
from tests.backends.sites import EmulatorSite, control, until

MB = 1_000_000


def test_a_file_fails_half_way_and_its_part_is_left_for_the_finalizer(site: EmulatorSite) -> None:
    site.fault(fail_pattern="data.1", fail_after_bytes=300_000)
    items = [write(site, b"data.%d" % n, os.urandom(MB), index=n) for n in range(3)]
    answer = moved(site, items)
    assert answer.state is TransferState.PARTIALSUCCESS
    assert answer.files[1].state is TransferState.FAILED
    assert answer.files[1].reason == "injected fault: fails after 300000 bytes"
    assert copied(items[1]) == original(items[1])[:300_000]
    assert copied(items[2]) == original(items[2])


def test_file_n_of_a_transfer_fails(site: EmulatorSite) -> None:
    site.fault(fail_number=2)
    answer = moved(site, [write(site, b"%d" % n, b"", index=n * 10) for n in range(3)])
    failed = {index for index, file in answer.files.items() if file.state is TransferState.FAILED}
    assert failed == {10}


def test_all_files_failing_is_a_failed_transfer(site: EmulatorSite) -> None:
    site.fault(fail_pattern="*")
    assert moved(site, [write(site, b"a", b"1")]).state is TransferState.FAILED


def test_a_lie_about_a_short_file_is_a_lie(site: EmulatorSite) -> None:
    site.fault(short_pattern="lie")
    items = [write(site, b"lie", b"x" * 1000), write(site, b"truth", b"y" * 1000, index=1)]
    answer = moved(site, items)
    assert answer.state is TransferState.FULLSUCCESS
    assert answer.files[0].mtime_ns == os.stat(items[0].target).st_mtime_ns
    assert copied(items[0]) == b"x" * 500
    assert copied(items[1]) == b"y" * 1000


@pytest.mark.parametrize("after", [0, 500_000, 2_500_000])
def test_a_daemon_that_dies_on_the_way_ends_the_transfer_in_its_next_life(
    site: EmulatorSite, after: int
) -> None:
    site.fault(die_after_bytes=after)
    items = [write(site, b"%d" % n, os.urandom(MB), index=n) for n in range(4)]
    handle = site.mover.handle(site.tag)
    with suppress(BackendError):  # it may die before it answers
        site.mover.start(handle, items)
    until(lambda: roots.is_free(site.root))
    site.start()
    assert control(site.root, "faults") == {}
    site.mover.start(handle, items)
    assert ended(site, handle).state is TransferState.FULLSUCCESS
    assert [copied(item) for item in items] == [original(item) for item in items]


def test_a_limit_is_a_limit_for_all_files_together(site: EmulatorSite) -> None:
    site.fault(limit_mb_s=4)
    items = [write(site, b"%d" % n, os.urandom(MB), index=n) for n in range(2)]
    handle = begun(site, items)
    assert state(site, handle).state is TransferState.INPROGRESS
    assert not ended(site, handle).files[0].reason
    times = [os.stat(item.target).st_mtime_ns for item in items]
    # The first piece of each goes at once; the rest of 2 MB takes its time.
    assert max(times) - min(os.stat(item.source).st_mtime_ns for item in items) > 0.3e9


def test_a_hanging_emulator_is_unknown_and_can_be_woken(site: EmulatorSite) -> None:
    handle = site.mover.handle(site.tag)
    site.fault(hang=True)
    hurried = Context(Path(), {**BACKEND.defaults, "root": str(site.root), "timeout_s": 0.2})
    answer = BACKEND.open_probe(hurried).answers([handle])[handle]
    assert answer.state is TransferState.UNKNOWN
    assert "no answer within 0.2 s" in answer.reason
    with pytest.raises(BackendError, match="no answer"):
        BACKEND.open_mover(hurried).handle("other")
    site.fault()
    assert state(site, handle).state is TransferState.NOTSTARTED


def test_a_slow_emulator_answers_in_the_end(site: EmulatorSite) -> None:
    site.fault(slow_s=0.3)
    handle = site.mover.handle(site.tag)
    hurried = Context(Path(), {**BACKEND.defaults, "root": str(site.root), "timeout_s": 0.1})
    probe = BACKEND.open_probe(hurried)
    assert probe.answers([handle])[handle].state is TransferState.UNKNOWN
    assert state(site, handle).state is TransferState.NOTSTARTED


def test_a_fault_that_makes_no_sense_changes_nothing(site: EmulatorSite) -> None:
    site.fault(fail_pattern="a")
    with pytest.raises((UsageError, BackendError), match="nothing was changed"):
        site.fault(nonsense=1)
    assert control(site.root, "faults") == {"fail_pattern": "a"}


def test_the_job_ends_and_the_emulator_copies_on_from_what_it_holds(site: EmulatorSite) -> None:
    site.kill()
    site.start(f"--burst-buffer={site.source_dir}")
    site.fault(limit_mb_s=8)
    item = write(site, b"large", os.urandom(2 * MB))
    content = original(item)
    handle = begun(site, [item])
    control(site.root, "detach")
    assert not site.source_dir.exists()
    site.kill()
    site.start()
    site.fault()
    assert ended(site, handle).state is TransferState.FULLSUCCESS
    assert copied(item) == content


def test_a_temp_file_has_the_source_s_mode_and_neither_its_owner_nor_times(
    site: EmulatorSite,
) -> None:
    item = write(site, b"file", b"x")
    os.chmod(item.source, 0o777)
    if os.geteuid() == 0:
        os.chown(item.source, 4242, 4242)
    os.utime(item.source, ns=(5, 7))
    item = type(item)(0, item.source, item.target, 1, 7)
    umask = os.umask(0o077)
    os.umask(umask)
    assert moved(site, [item]).state is TransferState.FULLSUCCESS
    info = os.stat(item.target)
    assert stat.S_IMODE(info.st_mode) == 0o777 & ~umask
    assert (info.st_uid, info.st_gid) == (os.geteuid(), os.getegid())
    assert info.st_mtime_ns != 7


def test_a_handle_of_another_emulator_is_unknown_here(
    site: EmulatorSite, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = EmulatorSite(tmp_path_factory.mktemp("other"))
    try:
        handle = other.mover.handle(site.tag)
    finally:
        other.kill()
    answers: list[Answer] = [state(site, handle), site.probe.cancel(handle)]
    assert [answer.state for answer in answers] == [TransferState.UNKNOWN] * 2
