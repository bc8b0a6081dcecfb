"""`poststage out` as one process: cp's manners, a list, a summary; ranks are in tests/mpi."""

import json
import os
import signal
import subprocess
import sys

import pytest

from poststage.agent.poll import until
from poststage.model import Kind
from tests.agent.conftest import state_of
from tests.mpi.conftest import DEADLINE_S, Site, emulator, own_site, site

__all__ = ["emulator", "own_site", "site"]


def test_a_file_is_handed_over_and_the_next_step_is_named(site: Site) -> None:
    (site.bb / "one").write_text("x")
    done = site.run("poststage", "out", "--dataset", "set", "bb/one", "pfs")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"handed over 1 file, 1 B as dataset set (1 state file in {site.state_dir})",
        f"next: finalize --dir {site.state_dir}",
    ]
    assert site.finalize().returncode == 0
    assert (site.pfs / "one").read_text() == "x"


def test_waiting_tells_how_it_ended(site: Site) -> None:
    (site.bb / "one").write_text("x")
    done = site.run("poststage", "out", "--wait", "--json", "bb/one", "pfs/two")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["states"] == ["FULLSUCCESS"]


def test_waiting_for_what_fails_needs_a_person(own_site: Site) -> None:
    (own_site.bb / "one").write_text("x")
    own_site.emulate("fault", "--fail", "one")
    done = own_site.run("poststage", "out", "--wait", "bb/one", "pfs/two")
    assert done.returncode == 3
    assert "the backend says: 1 FAILED" in done.stderr


def test_the_same_again_changes_nothing_and_says_so(site: Site) -> None:
    (site.bb / "one").write_text("x")
    words = ("poststage", "out", "--dataset", "set", "bb/one", "pfs/one")
    assert site.run(*words).returncode == 0
    before = (site.state_dir / "set/0.state").read_bytes()
    again = site.run(*words)
    assert again.returncode == 2
    assert "set/0.state: exists already; nothing was started" in again.stderr
    assert (site.state_dir / "set/0.state").read_bytes() == before


def test_datasets_without_a_name_never_meet(site: Site) -> None:
    (site.bb / "one").write_text("x")
    for _ in range(2):
        assert site.run("poststage", "out", "bb/one", "pfs/one").returncode == 0
    assert len(site.state_files()) == 2
    assert all(name.startswith("out-") for name in os.listdir(site.state_dir))


def test_a_list_of_nul_ended_names_takes_every_name(site: Site) -> None:
    name = b"tab\there\nand \xff"
    path = os.path.join(os.fsencode(site.bb), name)
    with open(path, "wb") as file:
        file.write(b"odd")
    (site.top / "list").write_bytes(path + b"\0pfs/" + name + b"\0")
    done = site.run("poststage", "out", "-0", "--from-file", "list")
    assert done.returncode == 0, done.stderr
    assert site.finalize().returncode == 0
    with open(os.path.join(os.fsencode(site.pfs), name), "rb") as file:
        assert file.read() == b"odd"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("bb",),
        ("bb", "pfs", "--from-file", "list"),
        ("bb", "pfs", "-0"),
        ("--from-file", "list", "bb"),
    ],
)
def test_half_a_command_is_refused(site: Site, words: tuple[str, ...]) -> None:
    done = site.run("poststage", "out", *words)
    assert done.returncode == 2
    assert "takes SRC and DEST, or --from-file LIST" in done.stderr
    assert site.state_files() == []


def test_no_state_directory_is_refused(site: Site) -> None:
    done = site.run("poststage", "out", "bb", "pfs", env={"POSTSTAGE_STATE_DIR": ""})
    assert done.returncode == 2
    assert "state directory: none was named" in done.stderr


def test_names_are_never_shown_raw(site: Site) -> None:
    done = site.run("poststage", "out", "bb/\x1b[31mred", "pfs/")
    assert done.returncode == 3
    assert "\x1b" not in done.stderr
    assert "\\x1b[31mred" in done.stderr


def test_one_process_alone_loads_no_mpi(site: Site) -> None:
    (site.bb / "one").write_text("x")
    script = (
        "import sys\nfrom poststage.cli.main import main\n"
        "try:\n    main(['out', 'bb/one', 'pfs/one'])\n"
        "finally:\n    print([m for m in ('mpi4py', 'rich') if m in sys.modules])\n"
    )
    done = site.run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_an_error_on_the_way_leaves_no_state_file(site: Site) -> None:
    (site.bb / "one").write_text("x")
    (site.pfs / "one").mkdir()
    (site.bb / "tree/one").mkdir(parents=True)
    (site.bb / "tree/one/deep").write_text("x")
    (site.pfs / "one/deep").mkdir()
    done = site.run("poststage", "out", "bb/tree", "pfs")
    assert done.returncode == 2
    assert "pfs/one/deep: is a directory" in done.stderr
    assert site.state_files() == []


def test_a_name_of_255_bytes_has_a_temp_name_too(site: Site) -> None:
    (site.bb / ("n" * 255)).write_text("x")
    assert site.run("poststage", "out", "--dataset", "s", f"bb/{'n' * 255}", "pfs/").returncode == 0
    (entry,) = site.entries("s/0.state")
    assert entry.kind is Kind.FILE
    assert len(entry.temp) == 255
    assert site.finalize().returncode == 0
    assert (site.pfs / ("n" * 255)).read_text() == "x"


def test_help_tells_each_option(site: Site) -> None:
    done = site.run("poststage", "out", "--help")
    assert done.returncode == 0
    for word in ("--dataset", "--scope", "--wait", "--checksum", "--shared", "-0", "--from-file"):
        assert word in done.stdout


def test_whoever_interrupts_the_waiting_is_told_what_goes_on(own_site: Site) -> None:
    (own_site.bb / "large").write_bytes(bytes(20_000_000))
    own_site.emulate("fault", "--limit", "1")
    words = ("poststage", "out", "--wait", "--dataset", "set", "bb/large", "pfs/large")
    process = subprocess.Popen(
        words, cwd=own_site.top, env=own_site.env, stderr=subprocess.PIPE, text=True
    )
    state_file = own_site.state_dir / "set/0.state"
    assert until(lambda: state_file.exists() and state_of(state_file).started, bool, DEADLINE_S)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 130
    assert "can be run again" not in said
    assert f"next: `poststage wait --dataset set --dir {own_site.state_dir}`" in said
    assert state_of(state_file).started


def test_an_earlier_one_that_is_not_over_is_replaced_where_that_is_asked_for(
    own_site: Site,
) -> None:
    own_site.emulate("fault", "--limit", "1")
    (own_site.bb / "f").write_bytes(b"1" * 20_000_000)
    words = ("poststage", "out", "--dataset", "set", "bb/f", "pfs/f")
    assert own_site.run(*words).returncode == 0
    (own_site.bb / "f").write_bytes(b"2" * 1000)
    assert own_site.run(*words).returncode == 2
    assert own_site.run(*words, "--existing", "refuse").returncode == 2
    again = own_site.run(*words, "--existing", "new")
    assert again.returncode == 0, again.stderr
    assert own_site.finalize().returncode == 0
    assert (own_site.pfs / "f").read_bytes() == b"2" * 1000
    assert [path.name for path in own_site.pfs.iterdir()] == ["f"]
