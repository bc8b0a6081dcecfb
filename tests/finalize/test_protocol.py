"""docs/finalize-protocol.md says what the planner does."""

from tests.finalize import protocol


def test_the_table_in_the_document_is_the_planners() -> None:
    """Made anew by `python -m tests.finalize.protocol`."""
    document = protocol.DOCUMENT.read_text(encoding="utf-8")
    assert protocol.written(document) == document


def test_the_document_has_all_laws_by_their_numbers() -> None:
    lines = protocol.DOCUMENT.read_text(encoding="utf-8").splitlines()
    numbered = [line for line in lines[: lines.index("## A run")] if line[:1].isdigit()]
    assert [int(line.partition(".")[0]) for line in numbered] == list(range(1, 14))


def test_a_table_that_says_something_else_is_noticed() -> None:
    document = protocol.DOCUMENT.read_text(encoding="utf-8")
    for word in ("| publish |", "| delete | failed |", "| none | lost |"):
        assert word in document
        assert protocol.written(document.replace(word, "| none | none |", 1)) == document
