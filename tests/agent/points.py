"""Every point of a transfer's life, on every backend: what a resume makes of it, and finalize then.

    python -m tests.agent.points > docs/resume.md

writes the page; tests/agent/test_points.py holds it against what happens.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from poststage.agent.known import record_cancelled
from poststage.model import TransferState
from tests.agent.lives import (
    AGENT,
    PART,
    SIZE,
    Axl,
    Daemons,
    Emulator,
    Ibm,
    Life,
    Local,
    made,
)
from tests.backends.sites import proven

_GOES_ON = {TransferState.INPROGRESS.value, TransferState.FULLSUCCESS.value}
Scene = Callable[[Any], None]
Point = tuple[str, dict[type[Life], Scene]]


def daemons(scene: Callable[[Any], None]) -> dict[type[Life], Scene]:
    """The same scene on both daemons."""
    return {Local: scene, Emulator: scene}


def axls(scene: Callable[[Any], None]) -> dict[type[Life], Scene]:
    """The same scene on both of AXL's."""
    return {Axl: scene, Ibm: scene}


def _recording(life: Daemons) -> None:
    _killed(life, "")


def _recorded(life: Daemons) -> None:
    _killed(life, "found.record()")


def _killed(life: Daemons, last: str) -> None:
    """An agent of another process hands over up to `last`, and is killed there."""
    words = [life.state_dir, life.top / "site.toml", life.source, life.destination]
    program = AGENT + last + "\nos.kill(os.getpid(), 9)\n"
    subprocess.run([sys.executable, "-c", program, *words], check=False)


def _locked(life: Life) -> None:
    if isinstance(life, Daemons):
        life.begun()
    else:
        assert isinstance(life, Axl)
        life.lay(SIZE)
    life.settle_s = 0.3
    life.lock_fd = os.open(life.state_file, os.O_RDONLY)
    fcntl.flock(life.lock_fd, fcntl.LOCK_EX)


def _running(life: Daemons) -> None:
    life.set_up(pace_mb_s=10.0)
    life.begun()


def _unnoted(life: Daemons) -> None:
    _running(life)
    lines = life.state_file.read_bytes().splitlines(keepends=True)
    assert b"started" in lines[-1]
    life.state_file.write_bytes(b"".join(lines[:-1]))


def _unproven(life: Daemons) -> None:
    life.set_up(prove_mb=64)
    _halted(life)
    life.restart()


def _proven(life: Daemons) -> None:
    _halted(life)
    life.restart()


def _damaged_part(life: Daemons) -> None:
    _halted(life)
    with open(life.temp, "r+b") as temp:
        temp.write(b"other")
    life.restart()


def _before_the_first_byte(life: Daemons) -> None:
    life.set_up(pace_mb_s=1e-6)  # a byte a second
    life.begun()
    life.kill()
    life.restart()


def _changed(life: Daemons) -> None:
    _halted(life)
    with open(life.source, "ab") as source:
        source.write(b"more")
    _restarted_in_vain(life)


def _gone(life: Daemons) -> None:
    _halted(life)
    life.source.unlink()
    _restarted_in_vain(life)


def _temp_gone(life: Daemons) -> None:
    _halted(life)
    life.temp.unlink()
    life.restart()


def _temp_replaced(life: Daemons) -> None:
    _halted(life)
    life.temp.unlink()  # its inode number may be given to the next file at once
    life.temp.write_bytes(b"x" * SIZE)
    life.restart()


def _halted(life: Daemons) -> None:
    """Killed inside the file; what is proven of it is durable."""
    life.begun()
    life.copied(PART)
    life.kill()


def _restarted_in_vain(life: Daemons) -> None:
    life.restart()
    if isinstance(life, Emulator):
        life.ended()


def _arrived(life: Daemons) -> None:
    life.set_up(pace_mb_s=0.0)
    life.begun()
    life.ended()
    life.had_arrived = True


def _failed(life: Daemons) -> None:
    found = life.recording()
    found.record()
    life.source.write_bytes(b"another")
    life.dispatch(found)
    life.ended()


def _failed_in_part(life: Daemons) -> None:
    life.set_up(pace_mb_s=0.0)
    found, other = life.recording(), life.bb / "g"
    other.write_bytes(b"recorded")
    found.add(other, life.pfs / "g")
    found.record()
    other.write_bytes(b"another")
    life.dispatch(found)
    life.ended()


def _cancel_unheard(life: Daemons) -> None:
    _halted(life)
    record_cancelled(os.fsencode(life.state_file))
    life.set_up()


def _cancelled(life: Daemons) -> None:
    life.begun()
    life.copied(1)
    with life.earlier() as earlier:
        assert earlier.cancel().ended


def _away(life: Daemons) -> None:
    life.begun()
    life.kill()
    life.settle_s = 0.3
    if isinstance(life, Local):  # another host's copier: nobody here can tell
        other = life.root.with_name("elsewhere")
        os.rename(life.root, other)


def _over(life: Daemons) -> None:
    _arrived(life)
    life.finalized()
    life.state_file = life.state_file.with_suffix(".done")


def _uncommitted(life: Life) -> None:
    """As a finalizer leaves it that is killed before it sets the record aside."""
    recorded = life.state_file
    if isinstance(life, Daemons):
        _over(life)
    else:
        assert isinstance(life, Axl)
        _axl_over(life)
    life.state_file.rename(recorded)
    life.state_file = recorded


def _damaged(life: Life) -> None:
    if isinstance(life, Daemons):
        _arrived(life)
        raw = life.state_file.read_bytes()
        life.state_file.write_bytes(raw[:30] + b"!" + raw[31:])
    else:
        assert isinstance(life, Axl)
        life.lay(SIZE)
        life.state_file.write_bytes(life.state_file.read_bytes()[:-9])


def _axl_over(life: Axl) -> None:
    life.lay(SIZE, state=4, status=3)
    life.finalized()
    life.state_file = life.state_file.with_name(life.state_file.name + ".axl.done")


POINTS: list[Point] = [
    ("its agent is still at it", {**daemons(_locked), **axls(_locked)}),
    (
        "agent killed while it recorded",
        {**daemons(_recording), **axls(lambda life: life.lay(None, meta=False, state=1, status=1))},
    ),
    (
        "agent killed when all was recorded, before the start",
        {**daemons(_recorded), **axls(lambda life: life.lay(None, status=1))},
    ),
    (
        "agent killed when it had told the backend, before it noted that",
        {**daemons(_unnoted), **axls(lambda life: life.lay(0, status=1))},
    ),
    ("it runs", {**daemons(_running), **axls(lambda life: life.lay(SIZE // 2))}),
    (
        "copier killed before the first byte",
        {**daemons(_before_the_first_byte), **axls(lambda life: life.lay(0))},
    ),
    (
        "copier killed inside the file, nothing proven",
        {**daemons(_unproven), **axls(lambda life: life.lay(SIZE // 2, status=1))},
    ),
    (
        "copier killed inside the file, a part proven",
        {**daemons(_proven), **axls(lambda life: life.lay(SIZE - 1, status=1))},
    ),
    (
        "… and the source has changed since",
        {**daemons(_changed), **axls(lambda life: life.lay(SIZE // 2))},
    ),
    (
        "… and that part was damaged",
        {**daemons(_damaged_part), **axls(lambda life: life.lay(SIZE - 1, status=1))},
    ),
    ("… and the source is gone", {**daemons(_gone), **axls(lambda life: life.lay(SIZE // 2))}),
    ("… and the temp file is gone", {**daemons(_temp_gone), **axls(lambda life: life.lay(None))}),
    (
        "… and the temp name is another file's",
        {**daemons(_temp_replaced), **axls(lambda life: life.lay(SIZE + 1))},
    ),
    ("all has arrived", {**daemons(_arrived), **axls(lambda life: life.lay(SIZE, status=3))}),
    (
        "it has failed",
        {**daemons(_failed), **axls(lambda life: life.lay(100, state=4, status=4))},
    ),
    (
        "a part of its files has failed",
        {**daemons(_failed_in_part), **axls(lambda life: life.lay(SIZE, status=4, others=("g",)))},
    ),
    (
        "its cancel was recorded, and whoever cancelled it killed then",
        {**daemons(_cancel_unheard), **axls(lambda life: life.lay(SIZE // 2))},
    ),
    (
        "it was cancelled",
        {**daemons(_cancelled), **axls(lambda life: life.lay(SIZE // 2, state=5))},
    ),
    ("its backend is away", {**daemons(_away), **axls(lambda life: life.lay(SIZE))}),
    (
        "finalize killed when all had its name",
        {**daemons(_uncommitted), **axls(_uncommitted)},
    ),
    ("finalize is done with it", {**daemons(_over), **axls(_axl_over)}),
    ("its state file is damaged", {**daemons(_damaged), **axls(_damaged)}),
]
BACKENDS: dict[type[Life], str] = {
    Local: "`local`",
    Emulator: "`emulator`",
    Axl: "AXL, sync or pthread",
    Ibm: "AXL, IBM's without a probe",
}


def outcome(backend: type[Life], scene: Scene) -> str:
    """What comes of one life: the resume's answer, how far it went, and finalize's end."""
    with made(backend) as life:
        scene(life)
        resumed = life.resumed()
        if resumed in _GOES_ON and isinstance(life, Daemons) and not life.had_arrived:
            resumed = _how_far(life)
        finalized = life.finalized()
        if finalized.startswith("published"):
            assert life.destination.read_bytes() == life.content
        return f"{resumed}; then {finalized}"


def _how_far(life: Daemons) -> str:
    """Where a resumed copy begins, as the copier's log tells."""
    life.ended()
    if not life.was_killed:
        return "goes on"
    return "goes on " + ("inside the file" if proven(life.root) else "from the file's beginning")


def table() -> dict[tuple[str, str], str]:
    """(point, backend's title) → outcome, for all of them."""
    return {
        (point, BACKENDS[backend]): outcome(backend, scene)
        for point, scenes in POINTS
        for backend, scene in scenes.items()
    }


def page(cells: dict[tuple[str, str], str]) -> Iterator[str]:
    """The page, line by line."""
    titles = list(BACKENDS.values())
    yield from INTRODUCTION.splitlines()
    yield "| | " + " | ".join(titles) + " |"
    yield "|---|" + "---|" * len(titles)
    for point, _ in POINTS:
        yield f"| {point} | " + " | ".join(cells[point, title] for title in titles) + " |"


INTRODUCTION = """\
# Resume

What `Earlier.resume()` (`poststage resume` for all transfers of a STATEDIR) makes of a transfer at
every point of its life, and how `finalize` ends it then. Each cell is what happens on real daemons
with a file of 20 MB: that it goes on, the backend's answer, or the
reason of the refusal; then the finalizer's verdict and exit status.
`python -m tests.agent.points > docs/resume.md` writes this page, and `tests/agent/test_points.py`
holds it against what happens.

A transfer goes on inside a file only as far as was recorded as durable and as the temp file, read
back from the disk, holds what its source does, byte for byte: what was damaged, and another file
under the temp name, whatever its size and inode number, is copied over. That costs reading the part
twice, and the copying itself nothing. Where nothing was recorded, the file is copied from its
beginning; another user's file under the temp name is left untouched, and the transfer's file fails.
A source that is not the recorded one (size, mtime) is never copied from. That the copier may be
killed at each of its file calls is tests/copier/test_killed_anywhere.py's.
"""


if __name__ == "__main__":
    started = time.monotonic()
    print("\n".join(page(table())))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
