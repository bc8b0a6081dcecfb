"""Site settings: strict, with the nearest known key, and each value's origin."""

from pathlib import Path

import pytest

from poststage import config
from poststage.errors import UsageError


def site(tmp_path: Path, text: str) -> Path:
    """A site file of `text`."""
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_option_goes_before_the_environment_and_that_before_the_default(tmp_path: Path) -> None:
    env = {"POSTSTAGE_SITE": "/env.toml"}
    assert config.site_file(Path("/option.toml"), env) == Path("/option.toml")
    assert config.site_file(None, env) == Path("/env.toml")
    assert config.site_file(None, {}) in {config.SITE_FILE, config.PACKAGED}
    assert config.site_file(None, {"POSTSTAGE_SITE": ""}) in {config.SITE_FILE, config.PACKAGED}


def test_without_a_site_file_everything_is_the_packaged_default() -> None:
    settings = config.load(config.PACKAGED)
    assert settings.backend == "emulator"
    assert set(settings.origins.values()) == {"packaged default"}


def test_each_value_knows_where_it_came_from(tmp_path: Path) -> None:
    path = site(tmp_path, '[finalize]\njobs = 3\n[backend.emulator]\nroot = "/x"\n')
    settings = config.load(path)
    assert settings.jobs == 3
    assert settings.origins["finalize.jobs"] == str(path)
    assert settings.origins["backend.emulator.root"] == str(path)
    assert settings.origins["finalize.publish"] == "packaged default"
    assert dict(settings.backends["emulator"]) == {"root": "/x"}


@pytest.mark.parametrize(
    ("text", "fact", "hint"),
    [
        ("[finalize]\ndeadlin_s = 1.0", "unknown key finalize.deadlin_s", "finalize.deadline_s"),
        ("[site]\nbakend = 'x'", "unknown key site.bakend", "site.backend"),
        ("jobs = 1", "unknown key jobs", "finalize.jobs"),
        ("[zzz]\nq = 1", "unknown key zzz.q", "did you mean"),
        ("[stie]", "unknown key stie", "did you mean site?"),
        ("[backend.locla]\nthreads = 4", "unknown key backend.locla", "backend.local?"),
        ("[emulator]\nroot = '/x'", "unknown section emulator", "[backend.emulator]?"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest_known_one(
    tmp_path: Path, text: str, fact: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=fact) as caught:
        config.load(site(tmp_path, text))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "[finalize]\njobs = '1'",
        "[finalize]\njobs = 1.0",
        "[finalize]\njobs = true",
        "[finalize]\njobs = -1",
        "[finalize]\ndeadline_s = -1.0",
        "[finalize]\ndeadline_s = 'soon'",
        "[finalize]\ndeadline_s = inf",
        "[finalize]\ndeadline_s = nan",
        "[finalize]\ndeadline_s = 1e300",
        "[scheduler]\nmargin_s = nan",
        "site = 3",
        "backend = 3",
        "[finalize]\npublish = 'all'",
        "[finalize]\ntrusted_state_dirs = '/x'",
        "[finalize]\ntrusted_state_dirs = [1]",
        "[site]\nallowed_backends = ['local']",
        "[site]\nname = 1",
        "[backend]\nemulator = 1",
        "site = 1",
        "not toml",
        "[finalize]\njobs = 1\njobs = 2",
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = site(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        config.load(path)
    assert str(path) in caught.value.message


def test_a_whole_number_is_taken_where_seconds_may_have_a_fraction(tmp_path: Path) -> None:
    assert config.load(site(tmp_path, "[finalize]\ndeadline_s = 60")).deadline_s == 60.0


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0"])
def test_bytes_that_are_no_toml_are_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site.toml").write_bytes(content)
    with pytest.raises(UsageError, match="is not a TOML file"):
        config.load(tmp_path / "site.toml")


def test_a_file_that_is_not_there_is_an_error_and_not_the_default(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        config.load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        config.load(None, {"POSTSTAGE_SITE": str(tmp_path)})
