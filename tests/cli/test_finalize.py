"""The command `finalize`: its options, its exit status, what it prints and where."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from poststage.errors import EXIT_MEANING, ExitCode
from tests.cli.run import Ended, run
from tests.crash import vendor as stub
from tests.finalize import house as h
from tests.finalize.house import House, Vendor


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty destination directory and an empty STATEDIR."""
    return House(tmp_path)


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    """A third party's backend, whose answers stand in files."""
    return Vendor(stub.install(tmp_path / "vendor"), tmp_path / "vendor" / "ledger")


@pytest.fixture
def site(house: House, vendor: Vendor) -> dict[str, str]:
    """The environment of a run that finds the stub vendor."""
    packages = vendor.site.parent / "site-packages"
    source = Path(__file__).parents[2]
    return {
        "POSTSTAGE_SITE": str(vendor.site),
        "PYTHONPATH": f"{packages}:{source}",
        "POSTSTAGE_STATE_DIR": str(house.state),
    }


def arrived(house: House, vendor: Vendor, name: str = "f", **says: Any) -> None:
    house.moved(house.entry(name))
    house.write(house.entry(name), handle=vendor.says(0, **says))


def finalize(site: dict[str, str], *words: object) -> Ended:
    return run(*words, program="finalize", **site)


def test_statedir_comes_from_the_environment_or_from_dir(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    arrived(house, vendor)
    assert finalize(site).code == ExitCode.OK
    assert h.is_published(house.entry())
    del site["POSTSTAGE_STATE_DIR"]
    assert finalize(site, "--dir", house.state).code == ExitCode.OK


def test_poststage_finalize_is_the_same(house: House, vendor: Vendor, site: dict[str, str]) -> None:
    arrived(house, vendor)
    assert run("finalize", **site).code == ExitCode.OK
    assert h.is_published(house.entry())


def test_what_is_for_people_is_on_stderr_and_what_is_for_machines_on_stdout(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    arrived(house, vendor)
    plain = finalize(site)
    assert plain.out == ""
    assert "complete" in plain.err
    machine = finalize(site, "--json")
    assert machine.err == ""
    assert machine.json()["datasets"][0]["complete"] is True


def test_a_dry_run_says_what_it_would_change_and_changes_nothing(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    arrived(house, vendor)
    before = h.snapshot(house.state, house.dst)
    ended = finalize(site, "--dry-run")
    assert "would change 1 file" in ended.err
    assert h.snapshot(house.state, house.dst) == before


@pytest.mark.parametrize(
    ("state", "code"), [("FULLSUCCESS", 0), ("FAILED", 3), ("INPROGRESS", 75), ("UNKNOWN", 75)]
)
def test_the_exit_status_is_the_last_word_of_the_table_too(
    house: House, vendor: Vendor, site: dict[str, str], state: str, code: int
) -> None:
    files = {0: "FAILED"} if state == "FAILED" else {}
    arrived(house, vendor, state=state, files=files)
    ended = finalize(site, "--no-wait")
    assert ended.code == code
    assert f"exit status {code}: {EXIT_MEANING[ExitCode(code)]}" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("--deadline", "-1"),
        ("--deadline", "soon"),
        ("--publish", "all"),
        ("--jobs", "0"),
        ("--no-such-option",),
        ("an argument",),
    ],
)
def test_wrong_usage_is_2_and_touches_nothing(
    house: House, vendor: Vendor, site: dict[str, str], words: tuple[str, ...]
) -> None:
    arrived(house, vendor)
    ended = finalize(site, *words)
    assert ended.code == ExitCode.USAGE
    assert not h.is_published(house.entry())


def test_an_unknown_setting_is_2_and_names_the_nearest(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    arrived(house, vendor)
    vendor.site.write_text("[finalize]\ndeadline = 3\n")
    ended = finalize(site)
    assert ended.code == ExitCode.USAGE
    assert "finalize.deadline_s" in ended.err


def test_help_names_every_exit_status_that_it_can_have(site: dict[str, str]) -> None:
    text = finalize(site, "--help").out
    told = {int(number) for number in re.findall(r"^ +(\d+)  ", text, re.MULTILINE)}
    assert told == {int(code) for code in ExitCode} - {ExitCode.BUG, ExitCode.USAGE}


def test_version(site: dict[str, str]) -> None:
    assert finalize(site, "--version").out.startswith("poststage")


def test_names_in_json_are_in_written_form(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    arrived(house, vendor, "a\nb\x1b[2J", state="FAILED", files={0: "FAILED"})
    (problem,) = finalize(site, "--json").json()["datasets"][0]["problems"]
    assert problem["destination"].endswith("/a%0Ab%1B[2J")
    assert json.dumps(problem).isprintable()


def test_a_site_that_holds_datasets_together_can_be_overruled(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    vendor.site.write_text(vendor.site.read_text() + '[finalize]\npublish = "dataset"\n')
    house.moved(house.entry())
    house.write(house.entry(), parts=2, handle=vendor.says(0))
    assert finalize(site).code == ExitCode.NEEDS_PERSON
    assert not h.is_published(house.entry())
    finalize(site, "--publish", "file")
    assert h.is_published(house.entry())


def test_as_no_root_nobody_else_can_be_named(
    house: House, vendor: Vendor, site: dict[str, str]
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can")
    arrived(house, vendor)
    ended = finalize(site, "--user", "root")
    assert ended.code == ExitCode.PERMISSION
    assert not h.is_published(house.entry())
    assert finalize(site, "--user", str(os.geteuid())).code == ExitCode.OK
