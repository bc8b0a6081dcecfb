"""Root: restores owners where only root can write, and becomes the owner everywhere else."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.errors import ExitCode
from tests.crash import vendor as stub
from tests.edge.story import Done, Story, run, verdicts
from tests.finalize import house as h
from tests.finalize.house import House, Vendor, open_up
from tests.finalize.users import OTHER, PLAIN, root_only

pytestmark = root_only


@pytest.fixture
def common() -> Iterator[Path]:
    """A directory that every user reaches; pytest's own are private."""
    path = Path(tempfile.mkdtemp(prefix="poststage-test-"))
    path.chmod(0o755)
    yield path
    open_up(path)
    shutil.rmtree(path)


@pytest.fixture
def vendor(common: Path) -> Vendor:
    """A third party's backend, whose answers stand in files."""
    return Vendor(stub.install(common / "vendor"), common / "vendor" / "ledger")


@pytest.fixture
def job(common: Path) -> House:
    """Directories that a plain user reaches, and owns in the end."""
    (common / "job").mkdir()
    return House(common / "job")


def given_to(uid: int, *tops: Path) -> None:
    for top in tops:
        for path in (top, *top.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)


def finalize(vendor: Vendor, house: House, *words: str) -> Done:
    """The command as root; the third party's backend is on its import path."""
    packages = vendor.site.parent / "site-packages"
    path = f"{packages}:{Path(__file__).parents[2]}"
    env = {**os.environ, "POSTSTAGE_SITE": str(vendor.site), "PYTHONPATH": path}
    return run(["finalize", "--dir", str(house.state), *words], env)


def test_where_only_root_writes_every_owner_is_restored_with_every_bit(story: Story) -> None:
    sources = []
    for uid, mode in ((0, 0o640), (PLAIN, 0o4755), (OTHER, 0o2711), (PLAIN, 0)):
        source = story.source(f"{uid}.{mode:o}")
        os.chown(source, uid, uid)
        source.chmod(mode)
        os.utime(source, ns=(1, 2))
        sources.append((source, h.meta_at(source)))
    story.hand_over(*(source for source, _ in sources))
    story.finalize()
    assert [one.name for one, meta in sources if h.meta_at(story.to(one)) != meta] == []


def test_in_a_users_statedir_everything_is_done_as_that_user(job: House, vendor: Vendor) -> None:
    mine = job.entry("mine", 0, uid=PLAIN, gid=PLAIN)
    roots = job.entry("roots", 1, uid=0, gid=0, mode=0o4755)
    for entry in (mine, roots):
        job.moved(entry)
    job.write(mine, roots, handle=vendor.says(0))
    given_to(PLAIN, job.dst, job.state)
    done = finalize(vendor, job, "--json")
    assert done.code == ExitCode.PERMISSION, done.text
    assert verdicts(done.report) == {"published": 1, "unknown": 1}
    assert h.is_published(mine)
    assert {path.stat().st_uid for path in job.state.rglob("*")} == {PLAIN}
    assert {path.stat().st_uid for path in job.dst.iterdir()} == {PLAIN}


def test_a_checksum_is_proven_by_the_user_too(job: House, vendor: Vendor) -> None:
    """What is needed for it was loaded while it could be."""
    entry = job.entry(uid=PLAIN, gid=PLAIN, mode=0, checksum=h.checksum(h.NEW))
    job.moved(entry)
    job.write(entry, handle=vendor.says(0))
    given_to(PLAIN, job.dst, job.state)
    done = finalize(vendor, job)
    assert done.code == ExitCode.OK, done.text
    assert h.is_published(entry)


def test_the_scheduler_names_the_user_and_then_only_that_users_rights_count(
    job: House, vendor: Vendor
) -> None:
    entry = job.entry(uid=PLAIN, gid=PLAIN)
    job.moved(entry)
    job.write(entry, handle=vendor.says(0))
    given_to(PLAIN, job.dst, job.state)
    before = h.snapshot(job.dst)
    assert finalize(vendor, job, "--user", "nobody").code == ExitCode.PERMISSION
    assert h.snapshot(job.dst) == before


def test_where_others_can_write_root_does_nothing_as_root(job: House, vendor: Vendor) -> None:
    entry = job.entry()
    job.moved(entry)
    job.write(entry, handle=vendor.says(0))
    job.state.chmod(0o1777)
    done = finalize(vendor, job)
    assert done.code == ExitCode.PERMISSION
    assert "would be finalized as root" in done.text
    assert not h.is_published(entry)


def test_a_destination_that_a_user_could_swap_is_not_touched_as_root(
    job: House, vendor: Vendor
) -> None:
    (job.dst / "users").mkdir()
    (job.dst / "victims").mkdir()
    os.chown(job.dst / "users", PLAIN, PLAIN)
    (job.dst / "users" / "link").symlink_to(job.dst / "victims")
    safe, led = job.entry("f", 0), job.entry("users/link/f", 1)
    job.moved(safe)
    h.put(job.dst / "victims" / os.fsdecode(led.temp), h.NEW, mode=0o600, mtime_ns=h.CLOSED_NS)
    job.write(safe, led, handle=vendor.says(0))
    before = h.snapshot(job.dst / "victims")
    done = finalize(vendor, job, "--json")
    assert verdicts(done.report) == {"published": 1, "unknown": 1}
    assert h.snapshot(job.dst / "victims") == before
    assert h.is_published(safe)


def test_root_s_own_log_gets_each_file_of_a_user(common: Path, job: House, vendor: Vendor) -> None:
    log = common / "log"
    more = f'\n[log]\nto = "{log}"\nfiles = "all"\n'
    vendor.site.write_text(vendor.site.read_text() + more)
    entry = job.entry("a", uid=PLAIN, gid=PLAIN)
    job.moved(entry)
    job.write(entry, handle=vendor.says(0))
    given_to(PLAIN, job.state, job.dst)
    assert finalize(vendor, job).code == ExitCode.OK
    assert log.stat().st_uid == 0
    assert f"event=file dataset=d rank=0 file={job.dst}/a verdict=published" in log.read_text()
