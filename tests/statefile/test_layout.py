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


def test_parts_of_a_small_dataset_lie_in_its_own_directory() -> None:
    assert layout.state_path(255, 256) == b"255.state"


@pytest.mark.parametrize(
    ("part", "path"),
    [
        (0, b"0.parts/0.state"),
        (255, b"0.parts/255.state"),
        (256, b"1.parts/256.state"),
        (2**31 - 2, b"8388607.parts/2147483646.state"),
    ],
)
def test_parts_of_a_large_dataset_lie_256_in_a_directory(part: int, path: bytes) -> None:
    assert layout.state_path(part, 2**31 - 1) == path
    assert layout.is_place(path.partition(b"/")[0])


@given(st.integers(0, 2**31 - 2), st.integers(1, 2**31 - 1))
def test_the_other_path_of_the_other_path_is_the_path(part: int, parts: int) -> None:
    path = layout.state_path(part, parts)
    other = layout.other_path(path)
    assert other != path
    assert layout.other_path(other) == path


@pytest.mark.parametrize("dataset", ["0.parts", "4095.parts"])
def test_no_datasets_directory_looks_like_one_that_parts_lie_in(dataset: str) -> None:
    name = layout.dataset_dir_name(dataset)
    assert not layout.is_place(name)
    assert name == dataset.replace(".", "%2E").encode()


@pytest.mark.parametrize(
    "name", [b"parts", b".parts", b"00.parts", b"1.part", b"x1.parts", b"1.parts~"]
)
def test_other_directories_are_none_that_parts_lie_in(name: bytes) -> None:
    assert not layout.is_place(name)
