"""An attacker's directories, and state files that are whole by their checksums and lie."""

import grp
import os
from pathlib import Path

from poststage.durable import journal
from tests.attack import victim
from tests.attack.rig import STATUSES
from tests.attack.victim import ATTACKER, SECRET
from tests.crash import trees, vendor
from tests.crash.forkserver import ForkServer, Job, Outcome
from tests.crash.shim import NONE

ID = b"00000000000000ff"
HEAD = (
    b'{"record":"transfer","version":1,"id":"%s","dataset":"d","part":0,"parts":2,'
    b'"backend":"%s","created_ns":1}' % (ID, vendor.NAME.encode())
)
ENTRY = (
    b'{"record":"entry","kind":"file","source":"/bb/x","destination":"@/home/out/x","temp":".x",'
    b'"size":5,"uid":61234,"gid":61234,"mode":416,"atime_ns":5,"mtime_ns":6}'
)
STARTED = (
    b'{"record":"event","event":"recorded","time_ns":0,"entries":1}',
    b'{"record":"event","event":"handle","time_ns":0,"handle":"stub-%s"}' % ID,
    b'{"record":"event","event":"started","time_ns":0}',
)


def shadow_gid() -> int:
    """The group that may read password hashes."""
    try:
        return grp.getgrnam("shadow").gr_gid
    except KeyError:
        return 42


def but(old: bytes, new: bytes) -> bytes:
    """The entry with one thing in it forged."""
    assert ENTRY.count(old) == 1
    return ENTRY.replace(old, new)


def journal_of(*records: bytes) -> bytes:
    return b"".join(map(journal.frame, records))


class House:
    """The attacker's directories, an honest transfer beside the forged one, and the victims."""

    def __init__(self, server: ForkServer, site: Path) -> None:
        self.server, self.site = server, site
        self.root = site.parent / "forged"
        self.victims = victim.lay(site.parent / "victims")
        self.forged = self.root / "state" / "d" / "0.state"
        self.good = self.root / "home" / "out" / "good"
        home = trees.directory(uid=ATTACKER, gid=ATTACKER)
        mine = trees.file(b"hello", mode=0o600, uid=ATTACKER, gid=ATTACKER)
        names = (b"", b"state", b"state/d", b"home", b"home/out")
        temps = {b"home/out/.x": mine, b"home/out/.good": mine}
        trees.lay(self.root, {**dict.fromkeys(names, home), **temps})
        ledger = site.parent / "ledger"
        good = self._entry(ENTRY.replace(b"/x", b"/good").replace(b'".x"', b'".good"'))
        id_ = b"00000000000000fe"
        for tag in (ID, id_):
            vendor.answer(ledger, tag.decode(), "FULLSUCCESS", {0: "FULLSUCCESS"})
        records = journal_of(HEAD.replace(b'"part":0', b'"part":1'), good, *STARTED)
        self._write(self.root / "state" / "d" / "1.state", _with_id(records, id_))

    def _entry(self, entry: bytes) -> bytes:
        entry = entry.replace(b"@victims", os.fsencode(self.victims.path))
        return entry.replace(b"@", os.fsencode(self.root))

    def forge(self, *records: bytes) -> None:
        """Put a state file of `records` there, each whole by its checksum."""
        self._write(self.forged, journal_of(*map(self._entry, records)))

    def write(self, content: bytes) -> None:
        """Put a state file of these bytes there."""
        self._write(self.forged, content)

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        os.chown(path, ATTACKER, ATTACKER)

    def finalize(self, groups: frozenset[int] = frozenset({ATTACKER})) -> Outcome:
        """Root finalizes it; what has been harmed is an assertion.

        `groups`: those that files there may have when it is done.
        """
        self.server.shim.arm(self.root, NONE)
        target = "tests.crash.programs:finalize"
        job = Job(target, (str(self.root / "state"), str(self.site), "file"), deadline_s=60)
        outcome = self.server.run(job)
        allowed = {ATTACKER: groups}
        assert self.victims.harm() == []
        assert victim.gains(self.root, self.victims.inodes, allowed) == []
        assert outcome.status in STATUSES, outcome.output
        assert "Traceback" not in outcome.output
        self._assert_silent(outcome)
        assert self.good.read_bytes() == b"hello"
        return outcome

    def _assert_silent(self, outcome: Outcome) -> None:
        assert SECRET.decode() not in outcome.output
        for name, node in trees.look(self.root).items():
            if node.uid != 0 and not name.endswith(b"0.state"):
                assert SECRET not in node.content, name


def _with_id(content: bytes, id_: bytes) -> bytes:
    lines = [line[9:].replace(ID, id_) for line in content.splitlines()]
    return journal_of(*lines)
