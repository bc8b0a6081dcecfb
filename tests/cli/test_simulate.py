"""`poststage simulate`: what it prints, and that an end from outside leaves nothing."""

import os
import signal
import subprocess
from pathlib import Path

from tests.cli.run import argv, environment, on_terminal, run

DEADLINE_S = 30.0


def test_it_tells_what_was_measured_and_what_was_projected(tmp_path: Path) -> None:
    ended = run("simulate", "--ranks", 40, "--files", 2, "--sample", 8, "--on", tmp_path)
    assert ended.code == 0, ended.err
    kinds = [line.split()[0] for line in ended.out.splitlines()]
    assert kinds == ["measured", "measured", "projected", "(projected", "that"]
    assert " 80 files " in ended.out
    assert list(tmp_path.iterdir()) == []


def test_its_document_has_the_numbers(tmp_path: Path) -> None:
    ended = run("simulate", "--ranks", 3, "--latency", 0.1, "--on", tmp_path, "--json")
    document = ended.json()
    assert (document["ranks"], document["files"]) == (3, 12)
    assert document["seconds"] == document["measured"][0]["seconds"] > 0


def test_it_fits_a_terminal_of_80_columns(tmp_path: Path) -> None:
    code, text = on_terminal(
        "simulate", "--ranks", 10_000_000, "--files", 10, "--sample", 1, "--on", tmp_path
    )
    assert code == 0
    assert " 100,000,000 files " in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_time_that_it_is_held_against_is_the_one_of_a_hook(tmp_path: Path) -> None:
    """The smaller of the site's two, which its scheduler's limit alone is not."""
    site = tmp_path / "site.toml"
    site.write_text(
        '[finalize]\ndeadline_s = 900\n[scheduler]\nname = "slurm"\ntimeout_s = 500\n'
        "margin_s = 60\n"
    )
    words = ("simulate", "--ranks", 1, "--on", tmp_path, "--site", site)
    assert "of the 440 s that" in run(*words).out
    assert "of the 77 s that" in run(*words, "--deadline", 77).out


def test_too_many_files_are_refused_with_the_number_that_is_not(tmp_path: Path) -> None:
    ended = run("simulate", "--ranks", 10_000_000, "--files", 11, "--on", tmp_path)
    assert ended.code == 2
    assert "more than 100,000,000 files; nothing was made" in ended.err
    assert "hint:" in ended.err


def test_a_latency_that_is_played_is_told(tmp_path: Path) -> None:
    ended = run("simulate", "--ranks", 1, "--latency", 0.5, "--on", tmp_path)
    assert "held back by 0.5 ms" in ended.out


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    ended = run("simulate", "--ranks", 1, "--on", tmp_path / "no")
    assert ended.code == 2
    assert "nothing else was touched" in ended.err


def test_who_stops_it_finds_nothing_left(tmp_path: Path) -> None:
    words = argv("simulate", "--ranks", 100_000, "--sample", 0, "--on", tmp_path)
    process = subprocess.Popen(words, env=environment({}), stderr=subprocess.PIPE)
    assert process.stderr is not None
    watch = os.pidfd_open(process.pid)
    while not list(tmp_path.glob("*/state/*/*")):
        assert process.poll() is None
    signal.pidfd_send_signal(watch, signal.SIGTERM)
    os.close(watch)
    assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert process.stderr.read() == b""
    process.stderr.close()
    assert list(tmp_path.iterdir()) == []
