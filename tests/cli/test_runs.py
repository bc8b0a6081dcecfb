"""Post-stage runs: which STATEDIRs, for whom, and what the scheduler has to say before."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage import config, registry
from poststage.cli.runs import Asked, Target, in_turn, seconds, situation
from tests.cli.run import done, failed, run, running

SITE = """
[site]
state_root = "{top}/root"
[scheduler]
name = "slurm"
timeout_s = 1000
margin_s = 100
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a state root, whose scheduler is Slurm."""
    (tmp_path / "root").mkdir(mode=0o1777)
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(top=tmp_path))
    return path


def squeue(top: Path, body: str) -> str:
    """A PATH in which squeue does this; what it is asked is kept in `asked`."""
    path = top / "bin" / "squeue"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$@" >>{top}/asked\n{body}\n')
    path.chmod(0o755)
    return f"{path.parent}:{os.environ['PATH']}"


def registered(top: Path) -> list[str]:
    return [one.job for one in registry.registered(top / "root")]


def test_without_a_directory_everything_that_is_registered_is_finalized(
    tmp_path: Path, site: Path
) -> None:
    done(tmp_path / "a", "whole")
    failed(tmp_path / "b", "bad")
    for job, name in (("1", "a"), ("2", "b")):
        registry.register(tmp_path / "root", job, tmp_path / name)
    ended = run("finalize", "--site", site, "--json")
    assert ended.code == 3
    document = ended.json()
    assert [one["exit_code"] for one in document["runs"]] == [0, 3]
    assert {one["state_dir"] for one in document["datasets"]} == {
        one["state_dir"] for one in document["runs"]
    }
    alone = run("finalize", "--json", "--dir", tmp_path / "a").json()
    assert alone.keys() == document.keys()
    assert alone["datasets"][0].keys() == document["datasets"][0].keys()
    assert registered(tmp_path) == ["1", "2"], "nobody said that the jobs are gone"


def test_of_a_job_only_what_it_registered_is_finalized_and_then_forgotten(
    tmp_path: Path, site: Path
) -> None:
    done(tmp_path / "a", "whole")
    failed(tmp_path / "b", "bad")
    for job, name in (("1", "a"), ("2", "b")):
        registry.register(tmp_path / "root", job, tmp_path / name)
    path = squeue(tmp_path, 'echo "1 COMPLETED"')
    ended = run("finalize", "--site", site, "--job", "1", "--reason", PATH=path)
    assert ended.code == 0
    assert ended.out == "poststage-result: 0 2 files of 1 dataset published\n"
    assert registered(tmp_path) == ["2"]


def test_what_needs_a_person_stays_registered(tmp_path: Path, site: Path) -> None:
    failed(tmp_path / "a", "bad")
    registry.register(tmp_path / "root", "1", tmp_path / "a")
    path = squeue(tmp_path, 'echo "1 COMPLETED"')
    assert run("finalize", "--site", site, "--job", "1", PATH=path).code == 3
    assert registered(tmp_path) == ["1"]


def test_what_is_wrong_with_one_does_not_stop_the_others(tmp_path: Path, site: Path) -> None:
    registry.register(tmp_path / "root", "1", tmp_path / "none")
    done(tmp_path / "b", "whole")
    registry.register(tmp_path / "root", "2", tmp_path / "b")
    ended = run("finalize", "--site", site, "--json")
    assert [one["exit_code"] for one in ended.json()["runs"]] == [2, 0]


def test_when_the_time_is_over_the_others_are_named_and_not_touched(
    tmp_path: Path, site: Path
) -> None:
    for name in ("a", "b", "c"):
        done(tmp_path / name, "whole")
        registry.register(tmp_path / "root", name, tmp_path / name)
    ended = run("finalize", "--site", site, "--json", "--deadline", "0")
    first, *others = ended.json()["runs"]
    assert ended.code == 75
    assert [one["exit_code"] for one in others] == [75, 75]
    assert all("before its turn came" in one["notes"][0] for one in others)
    assert str(tmp_path / "a") in first["state_dir"]


def test_who_registers_many_keeps_nobody_waiting() -> None:
    many = [Target(Path(f"/many/{number}"), "1") for number in range(3)]
    few = [Target(Path("/few"), "2"), Target(Path("/one"), "3")]
    assert in_turn([*many, *few]) == [many[0], *few, *many[1:]]


def test_a_site_without_a_state_root_wants_a_directory(tmp_path: Path) -> None:
    ended = run("finalize", "--reason")
    assert ended.code == 2
    assert ended.out == "poststage-result: 2 state directory: none was named; nothing was read\n"
    assert "state_root" in ended.err


def test_while_a_job_s_processes_may_write_nothing_is_touched(tmp_path: Path, site: Path) -> None:
    path = running(tmp_path / "a", "step")
    words = ("--site", site, "--job", "12", "--dir", tmp_path / "a", "--no-wait", "--reason")
    ended = run("finalize", *words, PATH=squeue(tmp_path, 'echo "12 COMPLETING"'))
    assert ended.code == 75
    assert "its processes may still write (it is COMPLETING)" in ended.out
    assert path.exists()


def test_a_scheduler_that_does_not_answer_is_waited_for_and_then_it_is_75(
    tmp_path: Path, site: Path
) -> None:
    path = running(tmp_path / "a", "step")
    words = ("--site", site, "--scheduler", "slurm", "--job", "12", "--dir", tmp_path / "a")
    env = {"PATH": squeue(tmp_path, "echo down >&2; exit 1")}
    ended = run("finalize", *words, "--deadline", "0.3", **env)
    assert ended.code == 75
    assert "does not say whether its processes are gone (squeue: down)" in ended.err
    assert path.exists()


def test_a_job_that_goes_back_to_the_queue_publishes_nothing(tmp_path: Path, site: Path) -> None:
    running(tmp_path / "a", "step")
    words = ("--site", site, "--scheduler", "slurm", "--job", "12", "--dir", tmp_path / "a")
    ended = run("finalize", *words, "--reason", PATH=squeue(tmp_path, 'echo "12 PENDING"'))
    assert ended.code == 0
    assert "goes back to the queue" in ended.out
    assert (tmp_path / "a" / ".requeued-1" / "step" / "0.state").exists()


def test_by_hand_inside_a_job_nobody_is_asked_whether_that_job_is_gone(
    tmp_path: Path, site: Path
) -> None:
    done(tmp_path / "a", "whole")
    env = {"PATH": squeue(tmp_path, "exit 1"), "SLURM_JOB_ID": "12"}
    assert run("finalize", "--site", site, "--dir", tmp_path / "a", **env).code == 0
    assert not (tmp_path / "asked").exists()


def test_the_deadline_is_below_what_the_scheduler_allows(site: Path) -> None:
    settings = config.load(site)
    assert seconds(Asked(job="12"), settings) == 900.0
    assert seconds(Asked(scheduler="slurm"), settings) == 900.0
    assert seconds(Asked(), settings) == settings.deadline_s
    assert seconds(Asked(job="12", deadline_s=5.0), settings) == 5.0


def test_the_job_on_the_command_line_counts_before_the_environment_s(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    settings = config.load(site)
    assert situation(Asked(scheduler="slurm"), settings).job == "11"
    assert situation(Asked(scheduler="slurm", job="12"), settings).job == "12"
    assert situation(Asked(), settings).job == ""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach."""
    path = Path(tempfile.mkdtemp(prefix="poststage-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone finalizes for others")
def test_root_finalizes_each_registration_as_who_made_it(public: Path) -> None:
    (public / "root").mkdir()
    site = public / "site.toml"
    site.write_text(f'[site]\nstate_root = "{public}/root"\n')
    for uid, name in ((65533, "a"), (65534, "b")):
        done(public / name, "whole")
        for path in (public / name, *(public / name).rglob("*")):
            os.chown(path, 65534, 65534)
        registry.register(public / "root", name, public / name)
        (link,) = (public / "root").glob(f"{name}@*")
        os.chown(link, uid, uid, follow_symlinks=False)
    ended = run("finalize", "--site", site, "--json", "--user", "nobody")
    assert [one["exit_code"] for one in ended.json()["runs"]] == [0]
    assert (public / "b" / "whole.report.json").stat().st_uid == 65534
    assert not (public / "a" / "whole.report.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone finalizes for others")
def test_who_registers_another_s_directory_gains_nothing(public: Path) -> None:
    (public / "root").mkdir()
    site = public / "site.toml"
    site.write_text(f'[site]\nstate_root = "{public}/root"\n')
    path = running(public / "theirs", "step")
    for one in (public / "theirs", *(public / "theirs").rglob("*")):
        os.chown(one, 65534, 65534)
    (public / "theirs").chmod(0o700)
    registry.register(public / "root", "1", public / "theirs")
    (link,) = (public / "root").iterdir()
    os.chown(link, 1, 1, follow_symlinks=False)
    ended = run("finalize", "--site", site, "--json", "--no-wait")
    assert [one["exit_code"] for one in ended.json()["runs"]] == [77]
    assert path.exists()
