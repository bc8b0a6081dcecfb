"""The commands over stub vendors: a killed agent, forked finalizers, a site's check."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.backends.vendors.run import Server
from tests.backends.vendors.sites import JOB, STEP, BbapiSite, DatawarpSite, NnfSite
from tests.site.scene import Scene, until

NAMES = ("bbapi", "nnf", "datawarp")


class Vendor(Struct):
    """A stub's server, what a site sets, and a job's environment."""

    server: Server
    settings: dict[str, str]
    job: dict[str, str]


def vendor_of(name: str, top: Path, libraries: Path, environment: pytest.MonkeyPatch) -> Vendor:
    """The stub of the vendor `name`, started."""
    if name == "bbapi":
        ibm = BbapiSite(top, libraries, environment)
        job = {"LSB_JOBID": JOB, "PMIX_NAMESPACE": STEP, "BB_STUB_SOCKET": str(ibm.socket)}
        return Vendor(ibm.server, ibm.settings, job)
    if name == "nnf":
        rabbit = NnfSite(top, environment)
        socket = str(rabbit.server.root / "socket")
        return Vendor(rabbit.server, {"socket": socket}, {"DW_WORKFLOW_NAME": "flux-1"})
    cray = DatawarpSite(top, libraries, environment)
    socket = str(cray.server.root / "socket")
    return Vendor(cray.server, {"library": str(cray.library)}, {"DW_STUB_SOCKET": socket})


@pytest.fixture(params=NAMES)
def vendor(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Vendor]:
    """Each of them."""
    (tmp_path / "vendor").mkdir()
    made = vendor_of(request.param, tmp_path / "vendor", tmp_path, monkeypatch)
    yield made
    (made.server.root / "stall").unlink(missing_ok=True)
    made.server.kill()


@pytest.fixture
def scene(tmp_path: Path, vendor: Vendor, request: pytest.FixtureRequest) -> Scene:
    """A site that uses the vendor."""
    name = request.node.callspec.params["vendor"]
    (tmp_path / "site").mkdir()
    table = "".join(f'{key} = "{value}"\n' for key, value in vendor.settings.items())
    site = f'[site]\nbackend = "{name}"\nallowed_backends = ["{name}"]\n'
    return Scene(tmp_path / "site", f"{site}[backend.{name}]\n{table}")


def test_what_the_vendor_had_accepted_is_published(scene: Scene, vendor: Vendor) -> None:
    (vendor.server.root / "stall").touch()
    (scene.bb / "data").write_bytes(os.urandom(200_000))
    env = {"PATH": "/usr/bin:/bin", "POSTSTAGE_SITE": str(scene.site), **vendor.job}
    env["POSTSTAGE_STATE_DIR"] = str(scene.state)
    words = ["out", "--dataset", "step.0", str(scene.bb / "data"), str(scene.out)]
    with subprocess.Popen([str(scene.bin / "poststage"), *words], env=env) as agent:
        until(lambda: accepted(vendor.server.root), "nothing is accepted")
        agent.kill()
    (vendor.server.root / "stall").unlink()
    done = scene.run(scene.bin / "finalize", "--dir", scene.state, "--deadline", "30", **env)
    assert done.returncode == 0, done.stderr
    assert scene.published()
    assert (scene.out / "data").stat().st_mtime_ns == (scene.bb / "data").stat().st_mtime_ns
    assert [path.name for path in scene.out.iterdir()] == ["data"]


def accepted(root: Path) -> bool:
    """Whether the stub has files to move."""
    return any('"files": [[' in path.read_text() for path in root.glob("[0-9]*.json"))


def test_the_site_s_check_says_that_it_answers_or_what_to_do(scene: Scene, vendor: Vendor) -> None:
    words = ("site", "check", "--json")
    env = {"PATH": "/usr/bin:/bin", **vendor.job}
    # DataWarp's library has nothing to be asked before a file is staged.
    for answers in (True,) if "DW_STUB_SOCKET" in vendor.job else (True, False):
        found = json.loads(scene.run(scene.bin / "poststage", *words, **env).stdout)
        (one,) = [one for one in found if one["what"].startswith("backend ")]
        assert (one["level"] == "fine") is answers, one
        assert answers or one["advice"]
        vendor.server.kill()


@pytest.mark.parametrize("publish", ["file", "dataset"])
def test_forked_finalizers_get_answers_too(scene: Scene, vendor: Vendor, publish: str) -> None:
    env = {"PATH": "/usr/bin:/bin", "POSTSTAGE_STATE_DIR": str(scene.state), **vendor.job}
    for name in "abcd":
        (scene.bb / name).write_text(name)
        words = ("out", "--dataset", f"step.{name}", scene.bb / name, scene.out)
        done = scene.run(scene.bin / "poststage", *words, **env)
        assert done.returncode == 0, done.stderr
    more = ("--jobs", "2", "--publish", publish, "--deadline", "30")
    ended = scene.run(scene.bin / "finalize", "--dir", scene.state, *more, **env)
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in scene.out.iterdir()} == set("abcd")
