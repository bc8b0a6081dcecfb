"""Forged state files: whatever one says or is, nobody else is touched and the next one is done."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poststage.durable import journal
from tests.attack import victim
from tests.attack.forgery import ENTRY, HEAD, STARTED, House, but, journal_of, shadow_gid
from tests.attack.victim import ATTACKER, NEIGHBOUR, SECRET, Victim
from tests.crash import trees
from tests.crash.forkserver import ForkServer

MIB = 1 << 20


# What a strict reader takes; then the operating system says what the owner may do.
WELL_FORMED = {
    "as it should be": ENTRY,
    "uid 0": but(b'"uid":61234', b'"uid":0'),
    "a neighbour's uid": but(b'"uid":61234', b'"uid":%d' % NEIGHBOUR),
    "gid 0": but(b'"gid":61234', b'"gid":0'),
    "gid of shadow, setgid": but(
        b'"gid":61234,"mode":416', b'"gid":%d,"mode":%d' % (shadow_gid(), 0o2755)
    ),
    "uid 0, setuid": but(b'"uid":61234,"gid":61234,"mode":416', b'"uid":0,"gid":0,"mode":2541'),
    "into a directory of root's": but(b"@/home/out/x", b"@/../victims/root/x").replace(
        b"@/../victims", b"@victims"
    ),
    "over a file of root's": but(b"@/home/out/x", b"@victims/root/secret"),
    "over a file of the neighbour's": but(b"@/home/out/x", b"@victims/neighbour/private"),
    "the temp is a file of the neighbour's": but(
        b'"@/home/out/x","temp":".x"', b'"@victims/neighbour/x","temp":"private"'
    ),
    "a device as destination": but(b"@/home/out/x", b"/dev/null"),
    "over its own state file": but(b"@/home/out/x", b"@/state/d/0.state"),
    "the temp is its own state file": but(
        b'"@/home/out/x","temp":".x"', b'"@/state/d/x","temp":"0.state"'
    ),
    "the last of all seconds": but(b'"mtime_ns":6', b'"mtime_ns":9223372036854775807'),
}
MALFORMED = {
    "uid -1": but(b'"uid":61234', b'"uid":-1'),
    "uid 2^32": but(b'"uid":61234', b'"uid":4294967296'),
    "uid 2^32 - 1": but(b'"uid":61234', b'"uid":4294967295'),
    "uid true": but(b'"uid":61234', b'"uid":true'),
    "uid 1.0": but(b'"uid":61234', b'"uid":1.0'),
    'uid "0"': but(b'"uid":61234', b'"uid":"0"'),
    "uid null": but(b'"uid":61234', b'"uid":null'),
    "a negative mode": but(b'"mode":416', b'"mode":-1'),
    "a mode that is too large": but(b'"mode":416', b'"mode":65535'),
    "mode NaN": but(b'"mode":416', b'"mode":NaN'),
    "size Infinity": but(b'"size":5', b'"size":Infinity'),
    "mode 0640": but(b'"mode":416', b'"mode":0416'),
    "a relative destination": but(b"@/home/out/x", b"home/out/x"),
    "a destination with ..": but(b"@/home/out/x", b"@/home/out/../../../victims/root/x"),
    "an absolute temp name": but(b'".x"', b'"/etc/passwd"'),
    "a temp name of ..": but(b'".x"', b'".."'),
    "a temp name below": but(b'".x"', b'"a/b"'),
    "NUL in the destination": but(b"out/x", b"out/x%00y"),
    "a raw NUL": but(b"out/x", b"out/x\\u0000y"),
    "a duplicate key": but(b'"uid":61234', b'"uid":61234,"uid":0'),
    "an unknown key": but(b'"uid":61234', b'"uid":61234,"root":true'),
    "an integer of 5000 digits": but(b'"uid":61234', b'"uid":%s' % (b"9" * 5000)),
    "a fraction of 5000 digits": but(b'"uid":61234', b'"uid":0.%s' % (b"9" * 5000)),
    "nested ten thousand deep": but(b'"uid":61234', b'"uid":%s%s' % (b"[" * 9999, b"]" * 9999)),
    "a symlink's target in a file": but(b'"mtime_ns":6', b'"mtime_ns":6,"target":"/etc/shadow"'),
}


RAW = {
    "nested a hundred thousand deep": journal_of(HEAD) + b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "24 MB of objects": journal_of(HEAD) + b"{}," * (8 * MIB),
    "whole lines of objects": journal_of(HEAD) + journal.frame(b"{}") * (MIB // 12),
    "root's secret in it": SECRET + b"\n" + journal_of(HEAD),
}


@pytest.fixture
def house(server: ForkServer, site: Path) -> Iterator[House]:
    found = House(server, site)
    yield found
    trees.clear(found.root)


@pytest.mark.parametrize("entry", WELL_FORMED)
def test_a_well_formed_record_gets_nothing_that_its_owner_could_not_do(
    house: House, entry: str
) -> None:
    house.forge(HEAD, WELL_FORMED[entry], *STARTED)
    outcome = house.finalize()
    published = (house.root / "home" / "out" / "x").exists()
    assert published is (entry in {"as it should be", "the last of all seconds"}), outcome.output


def test_the_owner_may_make_his_own_file_setuid(house: House) -> None:
    house.forge(HEAD, but(b'"mode":416', b'"mode":%d' % 0o4755), *STARTED)
    house.finalize()
    info = (house.root / "home" / "out" / "x").stat()
    assert (info.st_uid, info.st_mode & 0o7777) == (ATTACKER, 0o4755)


@pytest.mark.parametrize("entry", MALFORMED)
def test_a_malformed_record_is_damage_that_touches_nothing(house: House, entry: str) -> None:
    house.forge(HEAD, MALFORMED[entry], *STARTED)
    before = trees.look(house.root / "home")
    outcome = house.finalize()
    assert outcome.status == 65
    assert "none of its files was touched" in outcome.output
    after = trees.look(house.root / "home")
    assert after[b"out/.x"] == before[b"out/.x"]
    assert b"out/x" not in after


@pytest.mark.parametrize("content", RAW)
def test_bytes_that_are_no_state_file_harm_nobody(house: House, content: str) -> None:
    house.write(RAW[content])
    house.finalize()


@pytest.mark.parametrize("parts", [0, 2**31 - 1])
def test_a_dataset_of_any_number_of_parts_is_counted(house: House, parts: int) -> None:
    house.forge(HEAD.replace(b'"parts":2', b'"parts":%d' % parts), ENTRY, *STARTED)
    assert house.finalize().status in {3, 65}


def test_a_verdict_of_another_transfer_does_not_publish(house: House) -> None:
    verdict = b'{"record":"verdict","index":0,"verdict":"published","time_ns":0}'
    house.forge(HEAD, ENTRY, *STARTED, verdict)
    house.finalize()
    assert not (house.root / "home" / "out" / "x").exists()


def _symlink_to_secret(path: Path, victims: Victim) -> None:
    path.symlink_to(victims.path / os.fsdecode(victim.ROOT_FILE))


def _symlink_to_device(path: Path, victims: Victim) -> None:
    path.symlink_to("/dev/zero")


def _hard_link_to_secret(path: Path, victims: Victim) -> None:
    os.link(victims.path / os.fsdecode(victim.ROOT_FILE), path)


def _fifo(path: Path, victims: Victim) -> None:
    os.mkfifo(path)


def _directory(path: Path, victims: Victim) -> None:
    path.mkdir()


def _socket(path: Path, victims: Victim) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


Plant = Callable[[Path, Victim], None]
PLANTS: tuple[Plant, ...] = (
    _symlink_to_secret,
    _symlink_to_device,
    _hard_link_to_secret,
    _fifo,
    _directory,
    _socket,
)
NAMES = ("d/0.state", "d/0.done", "d.report.json", ".finalize.lock", ".d.report.json.new")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda one: one.__name__.strip("_"))
def test_what_stands_where_a_file_of_ours_should_is_never_read_nor_waited_for(
    house: House, plant: Plant, name: str
) -> None:
    path = house.root / "state" / name
    plant(path, house.victims)
    if plant is not _hard_link_to_secret:
        os.chown(path, ATTACKER, ATTACKER, follow_symlinks=False)
    if name == ".finalize.lock":  # no lock, no work; but an answer
        house.good.write_bytes(b"hello")
        os.chown(house.good, ATTACKER, ATTACKER)
    house.finalize()
