"""What commands print of names, on a terminal, into a pipe and as JSON: never what acts on it."""

import json
import os
import pty
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from poststage import names
from poststage.cli.main import main
from poststage.durable import fsops
from poststage.model import Ended, Entry, Head, Kind, Meta, Verdict
from poststage.statefile import StateWriter
from poststage.statefile.layout import dataset_dir_name
from tests.attack.levels import FULL
from tests.crash import tally

CLEAR, TITLE, BELL = b"\x1b[2J", b"\x1b]0;owned\x07", b"\a\b\r\x7f"
BIDI = "\u202e\u2066\u200f\u061c".encode()
C1 = b"\xc2\x9b31m\x9b31m"  # CSI as one character, in UTF-8 and raw
MARKUP = b"[red]x[reverse] :boom: {esc} %s %1B"
LINES = b"a\nexit status 0: all done\n\tb" + "\u2028\u2029\u0085".encode()
NASTY = b"".join((CLEAR, TITLE, BELL, BIDI, C1, MARKUP, LINES, b"\xff\xfe"))

_ALONE = st.binary(min_size=1, max_size=30)
_PIECES = st.sampled_from(
    [CLEAR, TITLE, BELL, BIDI, C1, MARKUP, LINES, b"plain", "ä\u0301ש".encode()]
)
RAW = st.one_of(_ALONE, st.lists(_PIECES, min_size=1, max_size=4).map(b"".join))
NAMES = RAW.map(lambda raw: raw.translate(None, b"\0/")[:60]).filter(names.is_component)


class Printed(Struct, frozen=True):
    """What a command printed."""

    status: int
    out: bytes
    err: bytes


def run(arguments: list[str], directory: Path, env: dict[str, str] | None = None) -> Printed:
    """Run the command in a forked process whose stdout and stderr are files."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.environ.update(env or {})
            for number, name in ((1, "stdout"), (2, "stderr")):
                fd = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(fd, number)
            code = _main(arguments)
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Printed(status, (directory / "stdout").read_bytes(), (directory / "stderr").read_bytes())


def _main(arguments: list[str]) -> int:
    for number, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape"))
    try:
        main(arguments)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def acting(text: str) -> str:
    """Characters of `text` that act on a terminal or on the order of what it shows."""
    return "".join(sorted({char for char in text if not char.isprintable() and char != "\n"}))


def lay(top: Path, name: bytes) -> Path:
    """A STATEDIR called `name`, in which everything that has a name is called so; it."""
    state_dir = top / "states" / os.fsdecode(name)
    text = name.decode("utf-8", "surrogateescape")
    directory = state_dir / os.fsdecode(dataset_dir_name(text))
    out = top / "out" / os.fsdecode(name)
    for path in (directory, out):
        path.mkdir(parents=True, exist_ok=True)
    fd = fsops.open_dir(os.fsencode(directory))
    head = Head("00000000000000aa", text, 0, 3, text[:60], 1, text, text, 7)
    writer = StateWriter.create(fd, b"0.state", head)
    for entry in _entries(os.fsencode(out), name):
        writer.add(entry)
    writer.recorded()
    writer.handle(text)
    writer.started()
    writer.verdicts({0: Ended(Verdict.FAILED, text), 1: Ended(Verdict.CONFLICT, text)})
    writer.flush()
    writer.close()
    for other in (b"1.state", name[:200] + b".state", name[:200] + b".done"):
        (directory / os.fsdecode(other)).write_bytes(b"damage " + name + b"\n" * 2 + name)
    (state_dir / f"{os.fsdecode(directory.name)}.report.json").write_text(_report(text))
    os.close(fd)
    return directory / "0.state"


def _entries(out: bytes, name: bytes) -> Iterator[Entry]:
    meta = Meta(3, os.geteuid(), os.getegid(), 0o644, 1, 2)
    for index in range(3):
        path = out + b"/%d" % index + name
        temp = names.temp_name(b"%d" % index + name, "00000000000000aa", index)
        yield Entry(Kind.FILE, b"/bb/" + name, path, temp, meta)
    path, temp = out + b"/link" + name, b".link" + name
    yield Entry(Kind.SYMLINK, b"/bb/" + name, path, temp, meta, target=name)


def _report(text: str) -> str:
    words = text.encode("utf-8", "replace").decode()
    problem = {"part": 0, "verdict": words, "reason": words, "destination": words}
    report = {
        "dataset": words,
        "directory": words,
        "complete": True,
        "parts": 1,
        "parts_seen": 1,
        "files": {words: 1},
        "problems": [problem],
    }
    return json.dumps({"report": report})


def commands(top: Path, state_file: Path) -> list[list[str]]:
    """Every command that prints names, as it is run over this STATEDIR."""
    at = f"--dir={state_file.parents[1]}"
    name = state_file.parents[1].name
    fifo = top / "fifo" / name
    fifo.parent.mkdir(exist_ok=True)
    if not fifo.exists():
        os.mkfifo(fifo)
    reading = [
        ["finalize", at, "--no-wait", "--dry-run"],
        ["status", at],
        ["status", at, "--no-probe"],
        ["show", str(state_file)],
        ["show", str(state_file.with_name("1.state"))],
        ["wait", at, "--timeout=0"],
        ["cancel", at],
        ["resume", at],
        ["finalize", at, "--no-wait"],
    ]
    return [
        *reading,
        *([*one, "--json"] for one in reading),
        ["finalize", at, "--no-wait", "--reason"],
        ["forget", at, "--dry-run"],
        ["forget", at, "--failed"],
        ["forget", at, f"--dataset={name}"],
        ["out", at.replace("--dir", "--state-dir"), f"--dataset={name}", str(fifo), str(top)],
        ["status", f"--dir={top / 'missing' / name}"],
        ["show", str(top / "missing" / name)],
        ["finalize", f"--dir={top / 'missing' / name}"],
        ["finalize", at, f"--user=-{name}"],
        ["finalize", at, f"--publish=-{name}"],
        ["finalize", at, f"--{name}"],
        ["site", "show", f"--site={top / name}"],
        [f"x{name}"],
    ]


@settings(max_examples=100 if FULL else 5)
@given(name=NAMES)
@example(name=NASTY.translate(None, b"/"))
@example(name=b"\x1b")
@example(name=b"\r\n")
def test_into_a_pipe_nothing_of_a_name_acts_and_json_is_ascii(name: bytes) -> None:
    with TemporaryDirectory() as made:
        top = Path(made)
        env = {"POSTSTAGE_EMULATOR_ROOT": str(top / "emulator"), "POSTSTAGE_DEBUG": "1"}
        for arguments in commands(top, lay(top, name)):
            printed = run(arguments, top, env)
            assert printed.status in {0, 2, 3, 65, 75, 77}, (arguments, printed)
            for text in (printed.out.decode(), printed.err.decode()):
                assert acting(text) == "", (arguments, text)
            if "--json" in arguments:
                assert printed.out.isascii()
                assert not printed.out or json.loads(printed.out) is not None
            tally.pass_("attack, names in output")


SGR = re.compile(r"\x1b\[[0-9;]*m")  # bold and colours, which tables have on a terminal


def on_terminal(arguments: list[str], env: dict[str, str]) -> str:
    """What the command prints on a terminal of its own, without the tables' own colours."""
    pid, terminal = pty.fork()
    if pid == 0:
        code = 1
        try:
            os.environ.update(env)
            code = _main(arguments)
        finally:
            os._exit(code)
    printed = bytearray()
    try:
        while piece := os.read(terminal, 1 << 16):
            printed += piece
    except OSError:  # EIO: the other end is closed, pty(7)
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return SGR.sub("", printed.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("columns", ["80", "20"])
@pytest.mark.parametrize("name", [NASTY.translate(None, b"/"), b"\x1b[31m", C1, BIDI, MARKUP])
def test_on_a_terminal_nothing_of_a_name_acts(tmp_path: Path, name: bytes, columns: str) -> None:
    env = {"POSTSTAGE_EMULATOR_ROOT": str(tmp_path / "e"), "TERM": "xterm", "COLUMNS": columns}
    for arguments in commands(tmp_path, lay(tmp_path, name)):
        assert acting(on_terminal(arguments, env)) == "", arguments
        tally.pass_("attack, names in output")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
def test_an_output_that_cannot_show_a_name_is_no_reason_to_fail(
    tmp_path: Path, encoding: str
) -> None:
    name = "ä\u0301ש\u4e2d".encode() + b"\xff"
    state_file = lay(tmp_path, name)
    search = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(search)}
    every = commands(tmp_path, state_file)
    for arguments in every if FULL else every[:5]:
        out = os.open(tmp_path / "printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
        command = [sys.executable, "-m", "poststage", *arguments]
        pid = os.posix_spawn(sys.executable, command, env, file_actions=actions)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(out)
        assert status in {0, 2, 3, 65, 75, 77}, (tmp_path / "printed").read_bytes()


def test_no_file_of_ours_is_made_with_more_rights_than_it_needs(tmp_path: Path) -> None:
    state_file = lay(tmp_path, b"d")
    run(["finalize", f"--dir={state_file.parents[1]}", "--no-wait"], tmp_path)
    for path in state_file.parents[1].rglob("*"):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o022, path
