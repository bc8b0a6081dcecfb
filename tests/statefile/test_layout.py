"""Names in a STATEDIR: one directory a dataset, none hidden, none elsewhere."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from poststage.errors import UsageError
from poststage.names import NAME_MAX, is_component
from poststage.statefile import layout

datasets = st.binary(min_size=1, max_size=40).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)


@given(datasets)
def test_any_dataset_has_a_visible_directory_of_its_own(dataset: str) -> None:
    name = layout.dataset_dir_name(dataset)
    assert is_component(name)
    assert is_component(layout.report_name(name))
    assert not name.startswith(b".")
    assert name.isascii()


@given(datasets, datasets)
def test_different_datasets_have_different_directories(one: str, other: str) -> None:
    assume(one != other)
    assert layout.dataset_dir_name(one) != layout.dataset_dir_name(other)


def test_an_ordinary_name_is_its_own_directory() -> None:
    assert layout.dataset_dir_name("timestep.0") == b"timestep.0"
    assert layout.dataset_dir_name("../x") == b"%2E.%2Fx"


@pytest.mark.parametrize("dataset", ["", "x" * 244, "ö" * 82, "a.report.json"])
def test_a_name_that_no_directory_can_have_is_refused(dataset: str) -> None:
    with pytest.raises(UsageError, match="nothing was recorded"):
        layout.dataset_dir_name(dataset)


def test_the_longest_name_leaves_room_for_the_report() -> None:
    assert len(layout.report_name(layout.dataset_dir_name("x" * 243))) == NAME_MAX


def test_a_state_file_is_set_aside_beside_itself() -> None:
    assert layout.state_name(17) == b"17.state"
    assert layout.done_name(layout.state_name(17)) == b"17.done"
