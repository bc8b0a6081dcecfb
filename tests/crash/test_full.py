"""Full disks, quotas and lost writes, on real file systems: kept, named, and resumed."""

import errno
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.crash import finalize_cases, laws, mutants, trees, vendor
from tests.crash.blockdev import FILE_SYSTEMS, Disk, FileSystem, missing
from tests.crash.finalize_scene import FinalizeScene
from tests.crash.forkserver import SELF, ForkServer, Job, Outcome
from tests.crash.mutants import Edit, Mutant
from tests.crash.programs import MODULES
from tests.crash.shim import Shim

EXT4, XFS, BTRFS = FILE_SYSTEMS
# Data and metadata share their space: elsewhere btrfs gives a full device's back hours later.
MIXED = FileSystem("btrfs", ("mkfs.btrfs", "-q", "-f", "--mixed"), 128)
OURS = (os.geteuid(), os.getegid())


@pytest.fixture(scope="module")
def site(workshop: Path) -> Path:
    directory = workshop / "full"
    directory.mkdir()
    (directory / "mnt").mkdir()
    return vendor.install(directory)


@pytest.fixture(scope="module")
def server(library: Path, site: Path) -> Iterator[ForkServer]:
    shim = Shim(library, site.parent)
    with ForkServer(shim, site.parent, MODULES, [site.parent / "site-packages"]) as running:
        yield running


def disk_of(system: FileSystem, site: Path) -> Disk:
    if missing(system):
        pytest.skip(missing(system))
    return Disk(system, site.parent / "disk.img", site.parent / "mnt")


def finalize(server: ForkServer, scene: FinalizeScene, root: Path) -> Outcome:
    server.shim.arm(root)
    return server.run(Job(scene.target, scene.arguments(root), SELF))


def until_done(server: ForkServer, scene: FinalizeScene, root: Path) -> Outcome:
    """The run that ends it, or the last within a deadline: btrfs gives space back behind one's
    back, when its transactions are through."""
    end = time.monotonic() + 30
    while True:
        os.sync()
        outcome = finalize(server, scene, root)
        if outcome.status == 0 or time.monotonic() > end:
            return outcome


def fill(directory: Path) -> Path:
    """A file that takes every block that is left."""
    path = directory / "filler"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096):
        with suppress(OSError):
            while os.write(fd, b"x" * size):
                pass
    with suppress(OSError):
        os.fsync(fd)
    os.close(fd)
    return path


@pytest.mark.parametrize("system", [EXT4, XFS, MIXED], ids=lambda system: system.name)
def test_on_a_full_file_system_with_long_names_nothing_is_lost_and_space_is_enough_to_end_it(
    server: ForkServer, site: Path, system: FileSystem
) -> None:
    disk = disk_of(system, site)
    scene = finalize_cases.many(site, OURS, count=120)
    disk.make()
    with disk.mounted() as mountpoint:
        root = mountpoint / "root"
        scene.lay(root)
        os.sync()
        before, filler = trees.look(root), fill(mountpoint)
        full = finalize(server, scene, root)
        now = trees.look(root)
        assert laws.violations(scene, before, now) == []
        assert full.status == (0 if scene.settled(now) else 75)
        assert "No space left" in full.output  # if all is published: of the report
        assert scene.settled(now) or system is not XFS  # its renames need no new block
        filler.unlink()
        assert until_done(server, scene, root).status == 0
        assert laws.violations(scene, before, trees.look(root)) == []


def test_over_quota_nothing_is_lost_and_a_raised_quota_is_enough_to_end_it(
    server: ForkServer, site: Path
) -> None:
    disk = disk_of(BTRFS, site)
    scene = finalize_cases.many(site, OURS, count=120)
    disk.make()
    with disk.mounted() as mountpoint:
        root = mountpoint / "sub/root"
        for command in (("quota", "enable", mountpoint), ("subvolume", "create", root.parent)):
            subprocess.run(["btrfs", *command], check=True, capture_output=True)
        scene.lay(root)
        os.sync()
        before = trees.look(root)
        limit(mountpoint, "16384")
        with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)):
            Path(root, "proof").write_bytes(b"x" * (1 << 20))
        Path(root, "proof").unlink(missing_ok=True)
        first = finalize(server, scene, root)
        now = trees.look(root)
        assert laws.violations(scene, before, now) == []
        assert first.status == (0 if scene.settled(now) else 75), first.output
        limit(mountpoint, "none")
        assert finalize(server, scene, root).status == 0
        assert laws.violations(scene, before, trees.look(root)) == []


def limit(mountpoint: Path, size: str) -> None:
    """Let the first subvolume refer to so many bytes; told by the top, which is not limited."""
    subprocess.run(["btrfs", "qgroup", "limit", size, "0/256", mountpoint], check=True)


@contextmanager
def thin_disk(site: Path) -> Iterator[Disk]:
    """An ext4 on a backing store that can run full (`starve`)."""
    store = site.parent / "store"
    store.mkdir(exist_ok=True)
    size = EXT4.size_mib + 1
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "none", store], check=True)
    try:
        yield Disk(EXT4, store / "disk.img", site.parent / "mnt")
    finally:
        subprocess.run(["umount", store], check=True)


def starve(disk: Disk) -> None:
    """Take the backing store from under the free blocks: what is written there is lost.

    Blocks in use keep theirs, so the journal and all metadata go on working.
    """
    with open(disk.image, "r+b") as image:
        os.posix_fallocate(image.fileno(), 0, disk.image.stat().st_size)
    listed = subprocess.run(["dumpe2fs", disk.image], check=True, capture_output=True, text=True)
    free = re.findall(r"^  Free blocks: (.+)$", listed.stdout, re.M)
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", " ".join(free)):
        place, count = int(first) * 4096, (int(last or first) - int(first) + 1) * 4096
        hole = ["fallocate", "--punch-hole", "--offset", str(place), "--length", str(count)]
        subprocess.run([*hole, disk.image], check=True)
    fill(disk.image.parent)


def after_lost_writes(server: ForkServer, site: Path, *, told: bool) -> tuple[Outcome, bool]:
    """A run over a temp file that is good in the cache and not on the disk; whether it named it.

    After fsync has reported an error once (`told`), a new descriptor's fsync says 0.
    """
    if missing(EXT4):
        pytest.skip(missing(EXT4))
    scene = finalize_cases.checksum(site, OURS, OURS, 0o640)
    promise = scene.promises[0]
    assert promise.new is not None
    with thin_disk(site) as disk:
        disk.make()
        root = disk.mountpoint / "root"
        temp = root / os.fsdecode(promise.temp)
        with disk.mounted():
            scene.lay(root)
            os.truncate(temp, 0)
        starve(disk)
        with disk.mounted():
            lose(temp, promise.new.content, told=told)
            assert temp.read_bytes() == promise.new.content  # out of the cache
            ended = finalize(server, scene, root)
            return ended, (root / os.fsdecode(promise.destination)).exists()


@pytest.mark.parametrize("told", [False, True], ids=["", "and somebody was told before"])
def test_writes_that_were_lost_behind_the_cache_are_never_published(
    server: ForkServer, site: Path, told: bool
) -> None:
    ended, published = after_lost_writes(server, site, told=told)
    assert not published
    assert ended.status in {3, 75}
    assert "root/out/one" in ended.output
    assert not told or "checksum" in ended.output


def test_a_finalizer_that_verifies_what_is_cached_is_found_out(library: Path, site: Path) -> None:
    careless = Mutant(
        "verify from the cache",
        (Edit("finalize/metadata.py", "        fsops.drop_cache(readable)\n", ""),),
        *("checksum", "lost writes", "law 7"),
    )
    directory = site.parent / "mutant"
    directory.mkdir()
    paths = [mutants.build(careless, directory), site.parent / "site-packages"]
    with ForkServer(Shim(library, directory), directory, MODULES, paths) as server:
        _, published = after_lost_writes(server, site, told=True)
    assert published


def lose(path: Path, content: bytes, *, told: bool) -> None:
    """Write `content`, which the cache shows from then on and the disk never gets."""
    info = path.lstat()
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, content)
        if told:
            with pytest.raises(OSError, match=f"{os.strerror(errno.EIO)}|No space"):
                os.fsync(fd)
            os.fsync(fd)  # an error is told once
        os.utime(fd, ns=(info.st_atime_ns, info.st_mtime_ns))
    finally:
        os.close(fd)
