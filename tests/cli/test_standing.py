"""How a dataset stands, and the advice: pure functions, every combination of what can be."""

import itertools

import pytest
from msgspec.structs import replace

from poststage.cli.standing import advice, code_of, sentence, standing
from poststage.cli.survey import Part
from poststage.errors import ExitCode
from poststage.model import TransferState, Verdict


def part(number: int = 0, *, done: bool = False, parts: int = 2, open_entries: int = 1) -> Part:
    """A readable part."""
    return Part(
        b"%d.%s" % (number, b"done" if done else b"state"),
        id=f"{number:016x}",
        dataset="step.0",
        part=number,
        parts=parts,
        recorded=True,
        files=1,
        size_bytes=10,
        verdicts={Verdict.PUBLISHED: 1} if done else {},
        open_entries=0 if done else open_entries,
        moving=not done,
    )


def words(*parts: Part, **transfers: TransferState) -> str:
    """The advice for `parts`, all transfers standing as said."""
    answers = {one.id: (state, "") for one in parts for state in transfers.values()}
    return advice(standing(b"step.0", parts, answers))


def test_a_dataset_is_done_when_each_of_its_parts_is() -> None:
    assert standing(b"x", [part(0, done=True), part(1, done=True)], {}).done
    assert not standing(b"x", [part(0, done=True)], {}).done
    assert not standing(b"x", [part(0, done=True), part(1)], {}).done
    assert not standing(b"x", [], {}).done


def test_a_part_that_failed_leaves_its_dataset_undone() -> None:
    bad = Part(
        b"1.state", part=1, parts=2, recorded=True, verdicts={Verdict.FAILED: 1}, dataset="x"
    )
    now = standing(b"x", [part(0, done=True), bad], {})
    assert not now.done
    assert "forget --failed" in advice(now)


@pytest.mark.parametrize("state", list(TransferState))
def test_every_state_of_a_transfer_has_words_and_advice(state: TransferState) -> None:
    now = standing(b"x", [part()], {"0" * 16: (state, "the reason")})
    assert "transfers: 1 " in sentence(now)
    assert "the reason" in sentence(now)
    assert advice(now)


def test_what_needs_a_person_first_is_said_first() -> None:
    stopped, unknown = TransferState.STOPPED, TransferState.UNKNOWN
    assert "resume" in words(part(), one=stopped)
    assert "backend answers" in words(part(), one=unknown)
    assert "waits for what is running" in words(part(), one=TransferState.INPROGRESS)
    assert "publishes what has arrived" in words(part(), one=TransferState.FULLSUCCESS)
    damaged = Part(b"1.state", part=1, damage="line 3: checksum mismatch", damaged=True)
    assert "damaged" in words(part(), damaged, one=unknown)
    unreadable = Part(b"1.state", damage="permission denied")
    assert "owner" in words(part(), unreadable, one=unknown)


@pytest.mark.parametrize(
    ("entries", "directories", "words"),
    [(8, 0, "8 open"), (8, 4, "4 open and 4 directories"), (1, 1, "1 directory open")],
)
def test_open_directories_are_told_apart_from_files(
    entries: int, directories: int, words: str
) -> None:
    one = replace(part(open_entries=entries), open_directories=directories)
    assert words == sentence(standing(b"x", [one, part(1, done=True)], {})).split("; ")[1]


def test_a_part_of_directories_alone_adds_no_number_of_none() -> None:
    one = replace(part(1, done=True), verdicts={Verdict.PUBLISHED: 0})
    assert sentence(standing(b"x", [part(), one], {})) == "1 open"


def test_missing_parts_are_named_a_few_and_counted() -> None:
    now = standing(b"x", [part(2, parts=1000)], {})
    assert now.missing == (0, 1, 3)
    assert "not seen: part 0, 1, 3 and 996 more" in sentence(now)


def test_a_file_in_which_no_record_is_whole_counts_as_being_recorded_while_it_is_held() -> None:
    now = standing(b"dir", [Part(b"0.state", held=True)], {})
    assert (now.dataset, now.recording, now.parts) == ("dir", 1, 0)
    assert sentence(now) == "1 being recorded"
    dead = standing(b"dir", [Part(b"0.state")], {})
    assert (dead.recording, dead.cut_off, code_of(dead)) == (0, 1, ExitCode.NEEDS_PERSON)
    assert "`poststage forget --failed`" in advice(dead)


def test_the_numbers_are_the_same_in_whatever_order_parts_are_read() -> None:
    parts = [part(0, done=True, parts=3), part(1, parts=3), part(0, parts=3), part(2, parts=3)]
    seen = {
        (now.parts_seen, now.done_parts, now.files, now.open_entries, now.size_bytes)
        for order in itertools.permutations(parts)
        for now in [standing(b"x", order, {})]
    }
    assert seen == {(3, 0, 3, 3, 30)}
