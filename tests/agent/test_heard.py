"""What stands in a pipe unread is known, and waited for, though not for ever."""

import os
import subprocess
import sys
from pathlib import Path

from poststage.agent import heard

SPEAKS = "import os; from poststage.agent import heard; os.write(2, b'last words'); "


def test_what_a_pipe_holds_is_counted() -> None:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"12345")
    assert heard.unread(write_fd) == 5
    os.read(read_fd, 3)
    assert heard.unread(write_fd) == 2
    os.close(read_fd)
    os.close(write_fd)
    assert heard.unread(write_fd) == 0


def test_only_a_pipe_has_a_reader_to_wait_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    fd = os.open(path, os.O_RDONLY)
    assert heard.unread(fd) == 0
    os.close(fd)


def test_a_process_that_is_to_be_killed_waits_until_it_was_heard() -> None:
    program = SPEAKS + "heard.let_be_read(); os.write(1, b'%d' % heard.unread(2)); os._exit(9)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (9, b"0", b"last words")


def test_who_never_reads_is_not_waited_for_for_ever() -> None:
    read_fd, write_fd = os.pipe()
    program = SPEAKS + "heard.let_be_read()"
    done = subprocess.run([sys.executable, "-c", program], stderr=write_fd, check=False, timeout=60)
    assert done.returncode == 0
    assert os.read(read_fd, 100) == b"last words"
    os.close(read_fd)
    os.close(write_fd)
