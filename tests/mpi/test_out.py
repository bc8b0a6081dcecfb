"""`mpirun -n 4 poststage out`: shared out, recorded, one summary, and all fail together."""

import json
import os
import sys
from pathlib import Path

import pytest

from poststage.agent.share import FILE_COST
from poststage.model import Kind
from tests.agent.trees import ODD_NAMES
from tests.mpi.conftest import Done, Site

TWO_NODES = {"MPIR_CVAR_NUM_CLIQUES": "2"}  # MPICH plays two nodes on this one


@pytest.fixture
def tree(site: Site) -> Path:
    """Files of many sizes in directories of several modes, a link, hard links, odd names."""
    top = site.bb / "run"
    (top / "deep/er").mkdir(parents=True)
    (top / "empty").mkdir()
    for number in range(12):
        path = top / ("deep/er" if number % 3 else "deep") / f"data.{number}"
        path.write_bytes(bytes([number]) * (number * 3001))
        path.chmod((0o600, 0o644, 0o444, 0o4755)[number % 4])
    os.link(top / "deep/data.0", top / "hard")
    (top / "soft").symlink_to("deep/data.3")
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(top / "deep"), name), "wb") as file:
            file.write(name)
    (top / "deep").chmod(0o2750)
    (top / "deep/er").chmod(0o555)
    return top


def errors(done: Done) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error:")]


@pytest.mark.parametrize(
    ("words", "env", "files"),
    [
        ((), {}, 4),
        (("--scope", "node", "--checksum"), {}, 1),
        (("--scope", "job"), {}, 1),
        (("--shared",), TWO_NODES, 4),
        (("--shared", "--scope", "node"), TWO_NODES, 2),
        (("--shared", "--scope", "job"), TWO_NODES, 1),
    ],
)
def test_a_tree_arrives_whole_in_every_scope(
    site: Site, tree: Path, words: tuple[str, ...], env: dict[str, str], files: int
) -> None:
    done = site.mpirun("poststage", "out", "--dataset", "set", *words, "bb/run", "pfs/run", env=env)
    assert done.returncode == 0, done.stderr
    assert site.state_files() == [f"set/{part}.state" for part in range(files)]
    finalized = site.finalize()
    assert finalized.returncode == 0, finalized.stderr + finalized.stdout
    assert site.tree(site.pfs / "run") == site.tree(tree)
    hard = site.pfs / "run/hard"
    assert hard.samefile(site.pfs / "run/deep/data.0")


def test_the_first_rank_says_all_that_is_said(site: Site, tree: Path) -> None:
    done = site.mpirun("poststage", "out", "--json", "bb/run", "pfs/run")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["files"] == 12 + len(ODD_NAMES)
    assert said["links"] == 2
    assert said["parts"] == 4
    assert done.stderr.count("handed over") == done.stderr.count("next: finalize --dir") == 1
    assert os.listdir(site.state_dir) == [said["dataset"]]  # one name on all ranks


def test_ranks_without_files_are_parts_too(site: Site) -> None:
    (site.bb / "one").write_text("x")
    done = site.mpirun("poststage", "out", "--dataset", "set", "--wait", "bb/one", "pfs/")
    assert done.returncode == 0, done.stderr
    entries = [len(site.entries(f"set/{part}.state")) for part in range(4)]
    assert sorted(entries) == [0, 0, 0, 1]
    assert site.finalize().returncode == 0
    assert (site.pfs / "one").read_text() == "x"


def test_ranks_share_the_bytes_fairly(site: Site, tree: Path) -> None:
    site.mpirun("poststage", "out", "--dataset", "set", "bb/run", "pfs/run")
    moved = []
    for part in range(4):
        files = [e for e in site.entries(f"set/{part}.state") if e.kind is Kind.FILE]
        moved.append(sum(entry.meta.size + FILE_COST for entry in files))
    assert max(moved) - min(moved) <= 11 * 3001 + FILE_COST


def test_one_rank_that_fails_is_all_that_fail_and_nothing_is_started(
    site: Site, tree: Path
) -> None:
    earlier = "import os, poststage; t = poststage.open_agent().transfer('set', 2, 4); t.record()"
    assert site.run(sys.executable, "-c", f"{earlier}; os._exit(0)").returncode == 0
    done = site.mpirun("poststage", "out", "--dataset", "set", "bb/run", "pfs/run")
    assert done.returncode == 2
    assert len(errors(done)) == 1
    assert "rank 2: state file" in errors(done)[0]
    assert "Traceback" not in done.stderr
    assert site.state_files() == ["set/2.state"]
    assert list(site.pfs.iterdir()) == []


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_special_file_is_refused_by_name_once(site: Site, tree: Path, ranks: int) -> None:
    os.mkfifo(tree / "pipe")
    done = site.mpirun("poststage", "out", "bb/run", "pfs/run", ranks=ranks)
    assert done.returncode == 3
    assert len(errors(done)) == 1
    assert "bb/run/pipe: is a FIFO" in errors(done)[0]
    assert site.state_files() == []


def test_wrong_usage_is_said_once(site: Site) -> None:
    done = site.mpirun("poststage", "out", "bb")
    assert done.returncode == 2
    assert len(errors(done)) == 1
    assert "takes SRC and DEST" in errors(done)[0]


def test_a_backend_that_is_away_is_said_once_and_nothing_stays(site: Site, tree: Path) -> None:
    (site.top / "site.toml").write_text(f'[backend.emulator]\nroot = "{site.top}/nobody"\n')
    done = site.mpirun("poststage", "out", "--dataset", "set", "bb/run", "pfs/run")
    assert done.returncode == 75
    assert len(errors(done)) == 1
    assert site.state_files() == []


def test_one_state_file_for_two_nodes_of_their_own_is_refused(site: Site, tree: Path) -> None:
    words = ("poststage", "out", "--scope", "job", "bb/run", "pfs/run")
    done = site.mpirun(*words, env=TWO_NODES)
    assert done.returncode == 2
    assert "the files lie on 2 nodes" in errors(done)[0]


def test_each_nodes_first_rank_lists_its_nodes_files(site: Site) -> None:
    for number in range(4):
        (site.bb / f"f{number}").write_text("x")
    (site.top / "list").write_text("".join(f"bb/f{i}\tpfs/f{i}\n" for i in range(4)))
    words = ("poststage", "out", "--dataset", "set", "--scope", "node", "--from-file", "list")
    assert site.mpirun(*words, env=TWO_NODES).returncode == 0
    counts = [len(site.entries(f"set/{part}.state")) for part in range(2)]
    assert counts == [4, 4]  # both see the same files here; real nodes see their own


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}, "srun --mpi=pmix"),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}, "mpirun that belongs to"),
    ],
)
def test_processes_that_do_not_know_of_each_other_are_refused(
    site: Site, tree: Path, env: dict[str, str], hint: str
) -> None:
    done = site.run("poststage", "out", "bb/run", "pfs/run", env=env)
    assert done.returncode == 2
    assert "takes itself for rank 0 of 1" in done.stderr
    assert hint in done.stderr
    assert site.state_files() == []
