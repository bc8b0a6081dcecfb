"""Where root stays root: what makes it believe a STATEDIR cannot be had by anybody else."""

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.attack import victim
from tests.attack.forgery import HEAD, STARTED, House, but, journal_of, shadow_gid
from tests.attack.levels import budget
from tests.attack.rig import STATUSES
from tests.attack.victim import ATTACKER
from tests.crash import trees
from tests.crash.forkserver import ForkServer, Job, Outcome, Stopped
from tests.crash.shim import NONE, Action, Injection

GIVEN_AWAY = but(b'"mode":416', b'"mode":%d' % 0o4755).replace(b"61234", b"0")
"""What root would have to do to make the attacker root: his file, root's, setuid."""


class Toggle(Struct, frozen=True):
    """STATEDIR is a symlink in the attacker's home; before call `at` it leads elsewhere."""

    at: int
    first: str
    then: str


class Lure:
    """The attacker's STATEDIR, one that root alone can write, and a symlink that names either."""

    def __init__(self, server: ForkServer, site: Path) -> None:
        self.server, self.site = server, site
        self.root = site.parent / "lure"
        self.roots = site.parent / "victims" / "root" / "dir"
        self.link = self.root / "link"

    def lay(self, first: str) -> None:
        """Lay everything out; the symlink leads to `first`."""
        self.victims = victim.lay(self.site.parent / "victims")
        home = trees.directory(uid=ATTACKER, gid=ATTACKER)
        mine = trees.file(b"hello", mode=0o600, uid=ATTACKER, gid=ATTACKER)
        forged = journal_of(HEAD, GIVEN_AWAY.replace(b"@", os.fsencode(self.root)), *STARTED)
        state = trees.file(forged, mode=0o644, uid=ATTACKER, gid=ATTACKER)
        names = (b"", b"mine", b"mine/d", b"home", b"home/out")
        tree = {**dict.fromkeys(names, home), b"home/out/.x": mine, b"mine/d/0.state": state}
        trees.lay(self.root, tree)
        self._point(first)

    def _point(self, target: str) -> None:
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(self.roots if target == "root's" else self.root / "mine")
        os.chown(self.link, ATTACKER, ATTACKER, follow_symlinks=False)

    def run(self, toggle: Toggle | None) -> Outcome:
        """Root finalizes what the symlink names."""
        injection = NONE if toggle is None else Injection(Action.ASK, toggle.at)
        self.server.shim.arm(self.root, injection)
        with self.server.shim.questions() as questions:
            arguments = (str(self.link), str(self.site), ["--no-wait", "--deadline=20"])
            self.server.start(Job("tests.attack.programs:finalize", arguments))
            fds = [questions.fileno(), self.server.events_fd]
            if toggle and questions.fileno() in select.select(fds, [], [], 60)[0]:
                questions.take()
                self._point(toggle.then)
                questions.answer()
            event = self.server.event()
        assert not isinstance(event, Stopped)
        return event

    def harm(self) -> list[str]:
        """What root has done for the attacker."""
        allowed = {ATTACKER: frozenset({ATTACKER})}
        return self.victims.harm() + victim.gains(self.root, self.victims.inodes, allowed)


@pytest.fixture
def lure(server: ForkServer, site: Path) -> Iterator[Lure]:
    made = Lure(server, site)
    yield made
    trees.clear(made.root)


@pytest.mark.parametrize(("first", "then"), [("root's", "mine"), ("mine", "root's")])
def test_a_symlink_of_the_attackers_to_a_trusted_directory_is_never_believed(
    lure: Lure, first: str, then: str
) -> None:
    lure.lay(first)
    assert lure.run(None).status in STATUSES
    calls = lure.server.shim.count
    found: dict[Toggle, list[str]] = {}
    for at in range(1, calls + 1)[: budget(sample=60, ci=1000)]:
        toggle = Toggle(at, first, then)
        lure.lay(first)
        outcome = lure.run(toggle)
        harm = lure.harm()
        if outcome.status not in STATUSES | {2}:
            harm.append(f"ended with {outcome.status}: {outcome.output}")
        if harm:
            found[toggle] = harm
    assert found == {}


def test_where_the_symlink_leads_is_refused_in_words(lure: Lure) -> None:
    lure.lay("root's")
    outcome = lure.run(None)
    assert outcome.status == 77
    assert "others than root can write it or a directory above it" in outcome.output


@pytest.fixture
def house(server: ForkServer, site: Path) -> Iterator[House]:
    found = House(server, site)
    yield found
    trees.clear(found.root)


def test_a_directorys_group_which_anybody_gets_in_a_setgid_directory_is_not_the_owners(
    house: House,
) -> None:
    gid = shadow_gid()
    for path in (house.root, house.root / "state", house.root / "home" / "out"):
        os.chown(path, ATTACKER, gid)
        path.chmod(0o2755)
    house.forge(
        HEAD, but(b'"gid":61234,"mode":416', b'"gid":%d,"mode":%d' % (gid, 0o2755)), *STARTED
    )
    house.finalize(groups=frozenset({ATTACKER, gid}))
    published = house.root / "home" / "out" / "x"
    assert not published.exists() or published.stat().st_gid != gid


@pytest.mark.parametrize("change", ["group", "everybody", "owner", "above"])
def test_a_directory_that_somebody_else_can_change_is_no_longer_trusted(
    server: ForkServer, site: Path, change: str
) -> None:
    root = site.parent / "once-trusted"
    trees.lay(root, dict.fromkeys((b"", b"a", b"a/state"), trees.directory()))
    state = root / "a" / "state"
    arguments = (str(state), str(site), ["--no-wait"])
    job = Job("tests.attack.programs:finalize", arguments)
    server.shim.arm(root, NONE)
    assert server.run(job).status == 0
    if change == "above":
        os.chown(root / "a", ATTACKER, 0)
    elif change == "owner":
        os.chown(state, ATTACKER, ATTACKER)
    else:
        state.chmod(0o775 if change == "group" else 0o757)
    outcome = server.run(job)
    trees.clear(root)
    assert outcome.status == (0 if change == "owner" else 77)


def test_a_state_file_of_somebody_else_in_a_trusted_directory_is_not_read(
    server: ForkServer, site: Path
) -> None:
    root = site.parent / "mixed"
    tree = dict.fromkeys((b"", b"state", b"state/d"), trees.directory())
    forged = trees.file(journal_of(HEAD), uid=ATTACKER, gid=ATTACKER)
    trees.lay(root, {**tree, b"state/d/0.state": forged})
    arguments = (str(root / "state"), str(site), ["--no-wait"])
    server.shim.arm(root, NONE)
    outcome = server.run(Job("tests.attack.programs:finalize", arguments))
    trees.clear(root)
    assert outcome.status == 65
    assert f"belongs to uid {ATTACKER}" in outcome.output


def test_a_directory_of_somebody_else_in_a_trusted_one_is_not_looked_into(
    server: ForkServer, site: Path
) -> None:
    root = site.parent / "mixed"
    tree = dict.fromkeys((b"", b"state", b"state/d"), trees.directory())
    theirs = dict.fromkeys((b"state/t", b"state/t/u"), trees.directory(uid=ATTACKER, gid=ATTACKER))
    state = trees.file(journal_of(HEAD))
    trees.lay(root, {**tree, **theirs, b"state/t/u/0.state": state, b"state/d/0.state": state})
    arguments = (str(root / "state"), str(site), ["--no-wait"])
    server.shim.arm(root, NONE, log=True)
    outcome = server.run(Job("tests.attack.programs:finalize", arguments))
    touched = [call for call in server.shim.log() if b"/state/t/" in call.path]
    trees.clear(root)
    assert outcome.status == 77
    assert "others than root can write it; root did not look into it" in outcome.output
    assert touched == []
