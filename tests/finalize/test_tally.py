"""Adding up: the same sums in one process or several, bounded whatever is announced."""

from hypothesis import given
from hypothesis import strategies as st

from poststage.errors import ExitCode
from poststage.finalize.outcome import outcome
from poststage.finalize.pending import Loaded, Pending
from poststage.finalize.report import PROBLEMS_MAX, DatasetReport, dataset_code
from poststage.finalize.tally import Tally
from poststage.finalize.work import Job
from poststage.model import Ended, Entry, Head, Kind, Meta, State, Verdict
from tests.finalize.house import DONE

META = Meta(100, 0, 0, 0o644, 0, 0)
FINAL = [verdict for verdict in Verdict if verdict.final]


def entry(index: int, kind: Kind = Kind.FILE) -> Entry:
    return Entry(kind, b"/bb/%d" % index, b"/dst/%d" % index, b".%d" % index, META)


def state(part: int, parts: int, *entries: Entry, ended: dict[int, Ended] | None = None) -> State:
    head = Head("0" * 16, "d", part, parts, "stub", 0)
    return State(head, entries, True, None, True, False, ended or {}, False)


def job(part: int, parts: int, *verdicts: Verdict, changed: bool = True) -> Job:
    """A state file whose files came out like this."""
    one = state(part, parts, *map(entry, range(len(verdicts))))
    found = Job(Loaded(Pending(b"d", b"0.state", b"/s/d/0.state"), one), one, DONE)
    found.outcomes.update(
        {k: outcome(word, "why", changed=changed) for k, word in enumerate(verdicts)}
    )
    return found


def report(*jobs: Job) -> DatasetReport:
    tally = Tally(b"d")
    for one in jobs:
        tally.add_job(one)
    return tally.report()


P, F = Verdict.PUBLISHED, Verdict.FAILED


def test_a_dataset_is_complete_when_every_part_is_there_and_all_is_published() -> None:
    assert report(job(0, 2, P), job(1, 2, P, P)).complete
    assert not report(job(0, 2, P)).complete
    assert not report(job(0, 1, P, F)).complete
    assert not Tally(b"d").report().complete


def test_a_part_without_files_counts() -> None:
    assert report(job(0, 2, P), job(1, 2)).complete


def test_what_is_published_is_counted_with_its_bytes_once() -> None:
    found = report(job(0, 1, P, P, F))
    assert (found.files, found.published_bytes) == ({"failed": 1, "published": 2}, 200)


def test_a_further_name_has_no_bytes_of_its_own_and_a_directory_is_no_file() -> None:
    kinds = (Kind.FILE, Kind.LINK, Kind.SYMLINK, Kind.DIRECTORY)
    one = state(0, 1, *(entry(k, kind) for k, kind in enumerate(kinds)))
    worked = Job(Loaded(Pending(b"d", b"", b""), one), one, DONE)
    worked.outcomes.update({k: outcome(P) for k in range(len(kinds))})
    set_aside = Tally(b"d")
    set_aside.add_done(one)
    for found in (report(worked), set_aside.report()):
        assert (found.files, found.published_bytes) == ({"published": 3}, 100)


def test_what_an_earlier_run_recorded_is_counted_and_changes_nothing() -> None:
    one = state(0, 1, entry(0), entry(1), ended={0: Ended(P), 1: Ended(F, "once")})
    found = report(Job(Loaded(Pending(b"d", b"", b""), one), one, DONE))
    assert (found.files, found.changed) == ({"failed": 1, "published": 1}, 0)
    assert [problem.reason for problem in found.problems] == ["once"]


def test_problems_are_listed_up_to_a_bound_and_counted_beyond() -> None:
    found = report(job(0, 1, *[F] * (PROBLEMS_MAX + 5)))
    assert len(found.problems) == PROBLEMS_MAX
    assert found.problems_in_all == PROBLEMS_MAX + 5
    assert found.files == {"failed": PROBLEMS_MAX + 5}


def test_parts_that_nobody_can_have_cost_neither_time_nor_memory() -> None:
    found = report(job(7, 2**31 - 1, P))
    assert len(found.missing_parts) == 100
    assert found.missing_parts[:8] == (0, 1, 2, 3, 4, 5, 6, 8)


def test_a_reason_is_harmless_and_names_are_in_written_form() -> None:
    one = job(0, 1, F)
    one.outcomes[0] = outcome(F, "\x1b[2J\u202ereversed\n")
    (problem,) = report(one).problems
    assert problem.reason.isprintable()
    assert problem.destination == "/dst/0"


def test_a_missing_part_needs_a_person() -> None:
    assert dataset_code(report(job(0, 2, P)), set()) is ExitCode.NEEDS_PERSON
    assert dataset_code(report(job(0, 1, P)), set()) is ExitCode.OK
    assert dataset_code(report(job(0, 2, P)), {ExitCode.DATA}) is ExitCode.DATA


@given(
    st.lists(st.lists(st.sampled_from(list(Verdict)), max_size=4), max_size=6),
    st.integers(0, 6),
)
def test_counted_in_two_processes_it_is_the_same(parts: list[list[Verdict]], cut: int) -> None:
    jobs = [job(part, len(parts), *verdicts) for part, verdicts in enumerate(parts)]
    one, other = Tally(b"d"), Tally(b"d")
    for found in jobs[:cut]:
        one.add_job(found)
    for found in jobs[cut:]:
        other.add_job(found)
    one.merge(other)
    whole = Tally(b"d")
    for found in jobs:
        whole.add_job(found)
    assert one.report() == whole.report()
    assert one.codes == whole.codes
