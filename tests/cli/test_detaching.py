"""`finalize --detach` with what makes no sense, and for several STATEDIRs."""

from pathlib import Path

from tests.cli.run import done, failed, run


def test_it_needs_to_know_for_what() -> None:
    ended = run("finalize", "--detach")
    assert ended.code == 2
    assert "needs --dir or --job" in ended.err


def test_it_has_no_plan_to_print(tmp_path: Path) -> None:
    assert run("finalize", "--detach", "--dir", tmp_path, "--dry-run").code == 2


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert run("finalize", "--detach", "--dir", tmp_path / "none").code == 2


def test_of_several_directories_the_worst_counts(tmp_path: Path) -> None:
    done(tmp_path / "a", "step")
    failed(tmp_path / "b", "step")
    ended = run(
        "finalize", "--detach", "--dir", tmp_path / "a", "--dir", tmp_path / "b", "--reason"
    )
    assert ended.code == 3


def test_an_empty_directory_has_nothing_to_do(tmp_path: Path) -> None:
    assert run("finalize", "--detach", "--dir", tmp_path).code == 0


def test_a_person_is_told_too_how_it_stands(tmp_path: Path) -> None:
    done(tmp_path / "a", "step")
    ended = run("finalize", "--detach", "--dir", tmp_path / "a")
    assert (ended.out, ended.err) == ("", "all done; exit status 0\n")
    ended = run("finalize", "--detach", "--dir", tmp_path / "a", "--reason")
    assert (ended.out, ended.err) == ("poststage-result: 0 all done\n", "")
