"""The line for the scheduler: short, printable, the worst first."""

from hypothesis import given
from hypothesis import strategies as st

from poststage.errors import ExitCode
from poststage.finalize.reason import REASON_MAX, fitted, reason, result_line
from poststage.finalize.report import DatasetReport, Problem, Report


def dataset(name: str = "step.0", **values: object) -> DatasetReport:
    fields = {"parts": 4, "parts_seen": 4, "files": {"published": 8}, "complete": True, **values}
    return DatasetReport(dataset=name, directory=name, **fields)  # type: ignore[arg-type]  # a test's own words


def failing(name: str, verdict: str, why: str) -> DatasetReport:
    problem = Problem(2, verdict, why, destination="/lustre/x/data.2")
    files = {"published": 7, verdict: 1}
    return dataset(name, complete=False, files=files, problems=(problem,), problems_in_all=1)


def told(*datasets: DatasetReport, notes: tuple[str, ...] = ()) -> str:
    return reason([Report("/state", ExitCode.OK, datasets, notes)])


def test_all_published_is_told_in_numbers() -> None:
    assert told(dataset(), dataset("step.1")) == "16 files of 2 datasets published"


def test_a_failure_is_told_with_its_file_and_cause() -> None:
    expected = "step.1: 1 failed (data.2: disk on fire)"
    assert told(dataset(), failing("step.1", "failed", "disk on fire")) == expected


def test_what_needs_a_person_goes_before_what_waits() -> None:
    waits, bad = failing("a", "running", "still"), failing("b", "lost", "gone")
    assert told(waits, bad) == "b: 1 lost (data.2: gone) (and 1 more of 2 datasets)"


def test_in_a_dataset_that_is_held_back_it_is_the_failure_that_is_told() -> None:
    held = Problem(0, "running", "held back", destination="/lustre/x/data.0")
    lost = Problem(2, "lost", "gone", destination="/lustre/x/data.2")
    counts = {"lost": 1, "running": 1}
    one = dataset(complete=False, files=counts, problems=(held, lost), problems_in_all=2)
    assert told(one) == "step.0: 1 lost, 1 running (data.2: gone)"


def test_a_missing_part_is_told_as_one() -> None:
    missing = dataset(complete=False, parts_seen=3)
    assert told(missing) == "step.0: 1 of 4 parts never recorded anything"


def test_nothing_at_all_is_told_too() -> None:
    assert told() == "nothing was handed over"
    assert told(notes=("the job goes back to the queue",)) == "the job goes back to the queue"


@given(st.text(), st.text(), st.integers(1, 5))
def test_it_always_fits_and_is_printable(name: str, why: str, number: int) -> None:
    text = told(*[failing(name, "failed", why)] * number)
    assert len(text) <= REASON_MAX
    assert text.isascii()
    assert text.isprintable()


@given(st.text(min_size=1, max_size=500))
def test_the_result_line_is_one_line(text: str) -> None:
    line = result_line(75, text)
    assert line.startswith("poststage-result: 75 ")
    assert line.isprintable()


def test_what_is_cut_shows_that_it_is() -> None:
    assert fitted("x" * 200).endswith("...")
    assert fitted("x" * REASON_MAX) == "x" * REASON_MAX
