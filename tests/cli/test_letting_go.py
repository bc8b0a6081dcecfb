"""With the records of what is done goes what its backend keeps, and nothing of what is not."""

from collections.abc import Iterator

import pytest

from poststage.copier import client
from poststage.copier import protocol as p
from tests.agent.lives import Daemons, Emulator, Local, made
from tests.backends.sites import pid_of
from tests.cli.run import Ended, run

EVERY = [Local, Emulator]


@pytest.fixture(params=EVERY, ids=[one.backend for one in EVERY])
def life(request: pytest.FixtureRequest) -> Iterator[Daemons]:
    """A transfer to be, copied as fast as can be."""
    with made(request.param) as one:
        assert isinstance(one, Daemons)
        one.set_up(pace_mb_s=0.0)
        yield one


def forget(life: Daemons, *words: str) -> Ended:
    """Run the command."""
    return run("forget", "--dir", life.state_dir, "--site", life.top / "site.toml", *words)


def published(life: Daemons) -> None:
    """Handed over, copied and finalized."""
    life.begun()
    life.ended()
    assert life.finalized() == "published (0)"


def kept(life: Daemons) -> list[str]:
    """The handles of which the backend has a journal."""
    return sorted(path.name for path in (life.root / "queue").glob("[!.]*"))


def known(life: Daemons) -> int:
    """How many transfers the running daemon tells of."""
    if pid_of(life.root) is None:
        return 0
    with client.session(life.root, 30) as session:
        return sum(isinstance(reply, p.StatusReply) for reply in session.ask_all(p.ListAll()))


def test_the_journal_goes_with_the_record(life: Daemons) -> None:
    published(life)
    assert (len(kept(life)), known(life)) == (1, 1)
    ended = forget(life)
    assert ended.err == "forgot 1 dataset (1 state file)\n"
    assert (kept(life), known(life)) == ([], 0)


def test_a_host_that_has_copied_all_keeps_nothing() -> None:
    with made(Local) as life:
        assert isinstance(life, Local)
        life.set_up(pace_mb_s=0.0)
        published(life)
        life.kill()
        forget(life)
        assert list((life.state_dir / ".local").iterdir()) == []


def test_what_is_kept_on_record_is_kept_by_its_backend(life: Daemons) -> None:
    life.begun()
    life.ended()
    for words in ((), ("--failed",), ("--dry-run",)):
        forget(life, *words)
        assert len(kept(life)) == 1


def test_what_was_never_started_is_forgotten_with_its_record(life: Daemons) -> None:
    """Its agent is killed after it got its handle, which is not on record then."""
    found = life.recording()
    life.agent().mover.handle(found.head.id)
    raw = life.state_file.read_bytes()
    found.discard()
    life.agent().mover.handle(found.head.id)
    life.state_file.write_bytes(raw)
    assert len(kept(life)) == 1
    assert forget(life).code == 0
    assert len(kept(life)) == 1
    assert "forgot 1 dataset" in forget(life, "--failed").err
    assert kept(life) == []


def test_a_transfer_that_is_discarded_leaves_nothing_at_its_backend(life: Daemons) -> None:
    found = life.recording()
    found.record()
    assert len(kept(life)) == 1
    found.discard()
    assert kept(life) == []


def test_the_api_forgets_at_the_backend_too(life: Daemons) -> None:
    published(life)
    life.state_file = life.state_file.with_suffix(".done")
    with life.earlier() as earlier:
        earlier.forget()
    assert kept(life) == []


def test_a_backend_that_is_away_is_named_and_the_record_goes() -> None:
    with made(Emulator) as life:
        assert isinstance(life, Emulator)
        life.set_up(pace_mb_s=0.0)
        published(life)
        life.kill()
        ended = forget(life)
        assert ended.code == 0
        assert "forgot 1 dataset" in ended.err
        assert "backend emulator keeps what it has of 1 transfer: copying daemon" in ended.err
        assert len(kept(life)) == 1


def test_nobody_is_asked_of_what_moved_no_file() -> None:
    with made(Emulator) as life:
        assert isinstance(life, Emulator)
        life.source.unlink()
        life.source.symlink_to("anywhere")
        life.recording().dispatch()
        life.finalized()
        life.kill()
        assert forget(life).err == "forgot 1 dataset (1 state file)\n"
