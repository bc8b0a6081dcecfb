"""Adding up one dataset while its state files stream by: bounded memory."""

import os
from collections import Counter
from itertools import islice

from msgspec import Struct

from poststage import names
from poststage.backends.base import Answer
from poststage.errors import ExitCode
from poststage.finalize.outcome import Outcome
from poststage.finalize.report import MISSING_MAX, PROBLEMS_MAX, DatasetReport, Problem
from poststage.finalize.work import Job
from poststage.model import Entry, Kind, State, Verdict

_PUBLISHED = Verdict.PUBLISHED.value


class Sums(Struct, frozen=True):
    """What a `Tally` has counted, as it is told to another process."""

    directory: bytes
    dataset: str
    parts: int
    seen: list[int]
    loose: int
    codes: list[ExitCode]
    changed: int
    files: dict[str, int]
    size: int
    problems: list[Problem]
    problem_count: int


class Tally:
    """Counts, problems and exit codes of one dataset."""

    def __init__(self, directory: bytes) -> None:
        self.directory = directory
        self.dataset = ""
        self.parts = 0
        self.seen: set[int] = set()
        self.loose = 0  # state files that are no part of anything (AXL's)
        self.codes: set[ExitCode] = set()
        self.changed = 0
        self._files: Counter[str] = Counter()
        self._bytes = 0
        self._problems: list[Problem] = []
        self._problem_count = 0

    def add_job(self, job: Job) -> None:
        """Count a state file that was worked on."""
        state = job.state
        self._add_head(state)
        if marked := job.outcomes.marked:
            self._files[_PUBLISHED] += marked
            self._bytes += job.outcomes.marked_bytes
            self.changed += marked
            self.codes.add(ExitCode.OK)
        for index in job.outcomes.unmarked():
            entry, one = state.entries[index], job.outcomes.get(index)
            if one is None:
                ended = state.ended.get(index)
                if ended is None:
                    continue
                code = ExitCode.OK if ended.verdict is Verdict.PUBLISHED else ExitCode.NEEDS_PERSON
                one = Outcome(ended.verdict, ended.reason, code)
            self._add(entry, one, state.head.part)
        if not (state.recorded or job.outcomes):
            self.add_unrecorded(job.answer, state.head.part, job.pending.path)

    def add_unrecorded(self, answer: Answer, part: int, state_file: bytes) -> None:
        """Count a state file whose agent did not come to its end, or is still on the way."""
        verdict = Verdict.FAILED if answer.state.ended else Verdict.RUNNING
        self.codes.add(ExitCode.NEEDS_PERSON if answer.state.ended else ExitCode.RUN_AGAIN)
        self.add_problem(verdict, answer.reason, part=part, state_file=state_file)

    def add_done(self, state: State) -> None:
        """Count a state file that an earlier run has set aside: all of it is published."""
        self._add_head(state)
        named = sum(entry.kind is not Kind.DIRECTORY for entry in state.entries)
        self._files[Verdict.PUBLISHED.value] += named
        self._bytes += sum(map(_bytes_of, state.entries))

    def add_problem(
        self, verdict: Verdict, reason: str, *, part: int = -1, state_file: bytes = b""
    ) -> None:
        """Note something about a whole state file."""
        self._note(
            Problem(part, verdict.value, names.shown(reason), state_file=names.to_text(state_file))
        )

    def report(self) -> DatasetReport:
        """The dataset as it stands now."""
        missing = (part for part in range(self.parts) if part not in self.seen)
        whole = set(self._files) <= {Verdict.PUBLISHED.value} and not self._problem_count
        return DatasetReport(
            dataset=names.shown(self.dataset or self.directory),
            directory=names.to_text(self.directory),
            complete=whole and len(self.seen) >= self.parts and self.parts + self.loose > 0,
            parts=self.parts + self.loose,
            parts_seen=len(self.seen) + self.loose,
            missing_parts=tuple(islice(missing, MISSING_MAX)),
            files=dict(sorted(self._files.items())),
            published_bytes=self._bytes,
            changed=self.changed,
            problems=tuple(self._problems),
            problems_in_all=self._problem_count,
        )

    def sums(self) -> Sums:
        """Everything that was counted."""
        return Sums(
            self.directory,
            self.dataset,
            self.parts,
            list(self.seen),
            self.loose,
            list(self.codes),
            self.changed,
            dict(self._files),
            self._bytes,
            self._problems,
            self._problem_count,
        )

    @classmethod
    def of(cls, sums: Sums) -> "Tally":
        """The tally that `sums` are of."""
        tally = cls(sums.directory)
        tally.dataset, tally.parts, tally.loose = sums.dataset, sums.parts, sums.loose
        tally.seen, tally.codes, tally.changed = set(sums.seen), set(sums.codes), sums.changed
        tally._files, tally._bytes = Counter(sums.files), sums.size
        tally._problems, tally._problem_count = sums.problems, sums.problem_count
        return tally

    def merge(self, other: "Tally") -> None:
        """Add what another process counted of the same dataset."""
        self.dataset = other.dataset or self.dataset
        self.parts = max(self.parts, other.parts)
        self.seen |= other.seen
        self.loose += other.loose
        self.codes |= other.codes
        self.changed += other.changed
        self._files += other._files
        self._bytes += other._bytes
        self._problem_count += other._problem_count
        room = PROBLEMS_MAX - len(self._problems)
        self._problems += other._problems[:room]

    def _add_head(self, state: State) -> None:
        if not state.head.parts:
            self.loose += 1
            self.dataset = self.dataset or state.head.dataset
            return
        self.dataset = state.head.dataset
        self.parts = max(self.parts, state.head.parts)
        self.seen.add(state.head.part)

    def _add(self, entry: Entry, one: Outcome, part: int) -> None:
        if entry.kind is not Kind.DIRECTORY or one.verdict is not Verdict.PUBLISHED:
            self._files[one.verdict.value] += 1
        self.codes.add(one.code)
        self.changed += one.changed
        if one.verdict is Verdict.PUBLISHED:
            self._bytes += _bytes_of(entry)
            return
        self._problem_count += 1
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(_problem(entry, one, part))

    def _note(self, problem: Problem) -> None:
        self._problem_count += 1
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)


def _bytes_of(entry: Entry) -> int:
    """A further name has none of its own."""
    return entry.meta.size if entry.kind is Kind.FILE else 0


def _problem(entry: Entry, one: Outcome, part: int) -> Problem:
    return Problem(
        part,
        one.verdict.value,
        names.shown(one.reason),
        names.to_text(entry.destination),
        names.to_text(entry.source),
        names.to_text(entry.temp),
        source_gone=one.verdict is Verdict.FAILED and not os.path.lexists(entry.source),
        errno=one.errno,
    )
