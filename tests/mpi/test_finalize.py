"""`mpirun -n 4 finalize`: the ranks share the work, one reports, a dead one spoils nothing."""

import json
import os
from pathlib import Path

import pytest

from poststage.finalize.ranks import WORD
from tests.finalize.house import House, is_published
from tests.mpi.conftest import REPOSITORY, Done, Site

PARTS = 24
# Nobody gets an answer before rank 2 has asked for one, so that it has taken something; and
# it does not live to hear it where the test says so.
BACKEND = """
import os
import signal
import time
from pathlib import Path

from poststage.backends.base import Answer, Backend, Capabilities
from poststage.model import TransferState

MARK, RANK = Path(os.environ["MARK"]), os.environ["PMI_RANK"]


class Probe:
    capabilities = Capabilities(
        handle_before_start=True, per_file_answers=False, outlives_job=True, resumable=False
    )

    def answers(self, handles):
        if RANK == "2":
            MARK.touch()
            if os.environ.get("DIES"):
                os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + 30
        while not MARK.exists() and time.monotonic() < end:
            time.sleep(0.01)
        return dict.fromkeys(handles, Answer(TransferState.FULLSUCCESS))

    def cancel(self, handle):
        return Answer(TransferState.CANCELED)

    def find(self, tags):
        return {}

    def close(self):
        pass


BACKEND = Backend("waiting", None, lambda context: Probe())
"""


@pytest.fixture
def house(site: Site) -> House:
    """A STATEDIR of `PARTS` parts with a file each, all of which have arrived."""
    packages = site.top / "packages"
    info = packages / "poststage_waiting-0.dist-info"
    info.mkdir(parents=True)
    (packages / "waiting.py").write_text(BACKEND)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poststage-waiting\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[poststage.backends]\nwaiting = waiting:BACKEND\n")
    toml = '[site]\nbackend = "waiting"\nallowed_backends = ["waiting"]\n'
    (site.top / "site.toml").write_text(toml)
    site.env["PYTHONPATH"] = f"{packages}{os.pathsep}{REPOSITORY}"
    site.env["MARK"] = str(site.top / "mark")
    made = House(site.top)
    for part in range(PARTS):
        entry = made.entry(f"f{part}")
        made.moved(entry)
        made.write(entry, part=part, parts=PARTS, backend="waiting", handle="1")
    return made


def finalized(site: Site, env: dict[str, str] | None = None) -> Done:
    words = ["mpirun", "-n", "4", "finalize", "--dir", str(site.state_dir), "--json"]
    return site.run(*words, "--deadline", "40", env=env)


def is_all_there(house: House) -> bool:
    done = {path.name for path in (house.state / "d").iterdir()}
    entries = [house.entry(f"f{part}") for part in range(PARTS)]
    return done == {f"{part}.done" for part in range(PARTS)} and all(map(is_published, entries))


def test_all_ranks_share_the_work_and_one_reports(site: Site, house: House) -> None:
    done = finalized(site)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["datasets"][0]["files"] == {"published": PARTS}
    assert is_all_there(house)
    assert Path(site.env["MARK"]).exists()
    again = finalized(site)
    assert (again.returncode, again.stderr) == (0, "")


def test_what_a_rank_held_whose_worker_died_is_taken_over_by_the_others(
    site: Site, house: House
) -> None:
    done = finalized(site, env={"DIES": "1"})
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["datasets"][0]["files"] == {"published": PARTS}
    assert report["datasets"][0]["complete"]
    assert is_all_there(house)


def test_without_a_first_rank_nothing_is_called_done(site: Site, house: House) -> None:
    words = ["finalize", "--dir", str(site.state_dir), "--deadline", "1"]
    alone = site.run(*words, env={"PMI_RANK": "1", "PMI_SIZE": "2"})
    assert (alone.returncode, alone.stdout) == (75, "")
    assert not is_all_there(house)


def test_told_not_to_each_rank_goes_its_own_way_and_all_is_done_once(
    site: Site, house: House
) -> None:
    Path(site.env["MARK"]).touch()
    words = ["mpirun", "-n", "2", "finalize", "--no-mpi", "--dir", str(site.state_dir)]
    assert site.run(*words, "--deadline", "40").returncode == 0
    assert is_all_there(house)
    assert not (house.state / os.fsdecode(WORD)).exists()
