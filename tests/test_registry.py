"""The state root: what is registered is found, by job and owner, and forgotten when it may be."""

import os
import time
from pathlib import Path

import pytest

from poststage import open_agent, registry
from poststage.errors import RunAgainError, UsageError

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir(mode=0o1777)
    return path


def test_what_is_registered_is_found_by_its_job(root: Path, tmp_path: Path) -> None:
    registry.register(root, "12", tmp_path / "a")
    registry.register(root, "13", tmp_path / "b")
    (one,) = registry.registered(root, job="12")
    assert (one.job, one.state_dir, one.uid) == ("12", os.fsencode(tmp_path / "a"), os.geteuid())
    assert len(registry.registered(root)) == 2


def test_what_others_registered_is_not_one_s_own(root: Path, tmp_path: Path) -> None:
    registry.register(root, "12", tmp_path)
    assert registry.registered(root, uid=os.geteuid() + 1) == []
    assert len(registry.registered(root, uid=os.geteuid())) == 1


def test_many_ranks_register_one_statedir_once(root: Path, tmp_path: Path) -> None:
    for _ in range(3):
        registry.register(root, "12", tmp_path)
    assert len(os.listdir(root)) == 1


@pytest.mark.parametrize("job", ["", "a/b", "ƒ2oLk", "x" * 400, "a@b", "\x1b"])
def test_a_job_may_be_called_anything(root: Path, tmp_path: Path, job: str) -> None:
    registry.register(root, job, tmp_path)
    assert len(registry.registered(root)) == 1


def test_a_statedir_may_be_called_anything(root: Path) -> None:
    path = Path(os.fsdecode(b"/x/\xff\n y"))
    registry.register(root, "12", path)
    assert registry.registered(root)[0].state_dir == os.fsencode(path)


def test_a_name_that_is_taken_costs_a_suffix(root: Path, tmp_path: Path) -> None:
    registry.register(root, "12", tmp_path)
    (taken,) = root.iterdir()
    taken.unlink()
    taken.symlink_to("/elsewhere")
    registry.register(root, "12", tmp_path)
    found = {one.state_dir for one in registry.registered(root, job="12")}
    assert found == {b"/elsewhere", os.fsencode(tmp_path)}


def test_what_is_no_registration_is_passed_over(root: Path) -> None:
    (root / "12@file").write_text("/x")
    (root / "12@dir").mkdir()
    (root / "12@relative").symlink_to("x")
    (root / "noat").symlink_to("/x")
    assert registry.registered(root) == []


def test_a_root_that_is_not_there_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(RunAgainError, match="nothing was started"):
        registry.register(tmp_path / "none", "12", tmp_path)
    with pytest.raises(UsageError, match="cannot be opened"):
        registry.registered(tmp_path / "none")


def site(top: Path) -> Path:
    """Settings of a site whose agents register in top/root."""
    path = top / "site.toml"
    path.write_text(f'[site]\nstate_root = "{top}/root"\n')
    return path


def test_an_agent_registers_with_its_first_transfer(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTSTAGE_JOB_ID", "12")
    with open_agent(tmp_path / "state", site=site(tmp_path)) as agent:
        assert registry.registered(root) == []
        agent.transfer("step.0").discard()
        agent.transfer("step.1").discard()
    (one,) = registry.registered(root)
    assert (one.job, one.state_dir) == ("12", os.fsencode(tmp_path / "state"))


def test_an_agent_that_cannot_register_records_nothing(tmp_path: Path) -> None:
    agent = open_agent(tmp_path / "state", site=site(tmp_path))
    with pytest.raises(RunAgainError, match="nothing was started"):
        agent.transfer("step.0")
    agent.close()
    assert not list((tmp_path / "state").rglob("*.state"))


def test_it_is_forgotten_when_its_job_is_gone(root: Path, tmp_path: Path) -> None:
    registry.register(root, "12", tmp_path)
    (one,) = registry.registered(root)
    assert not registry.drop(root, one, job_gone=False)
    assert registry.drop(root, one, job_gone=True)
    assert registry.registered(root) == []


def test_it_is_forgotten_when_it_is_a_day_old(root: Path, tmp_path: Path) -> None:
    registry.register(root, "12", tmp_path)
    old = time.time_ns() - DAY_NS - 10**9
    os.utime(next(root.iterdir()), ns=(old, old), follow_symlinks=False)
    (one,) = registry.registered(root)
    assert registry.drop(root, one, job_gone=False)


def test_what_registered_again_since_it_was_read_stays(root: Path, tmp_path: Path) -> None:
    registry.register(root, "12", tmp_path)
    old = time.time_ns() - 2 * DAY_NS
    os.utime(next(root.iterdir()), ns=(old, old), follow_symlinks=False)
    (one,) = registry.registered(root)
    registry.register(root, "12", tmp_path)
    assert not registry.drop(root, one, job_gone=False)
    assert not registry.drop(root, one, job_gone=True)
    assert len(registry.registered(root)) == 1
