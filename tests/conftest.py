"""What all tests share: the ways of hypothesis, and an environment without a user's settings."""

import os

import pytest
from hypothesis import HealthCheck, settings

# No deadline: a machine that is busy fails nobody. EXAMPLES=5000 digs deeper.
settings.register_profile(
    "house",
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")

_USER = ("POSTSTAGE_STATE_DIR", "POSTSTAGE_SITE", "POSTSTAGE_DEBUG", "POSTSTAGE_JOB_ID")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _USER:
        monkeypatch.delenv(name, raising=False)
