"""The plain value of a state file: JSON in ASCII, integers exact; its form is in the vectors."""

import json

from hypothesis import given

from poststage.model import State
from poststage.statefile.value import value_of
from tests.statefile.strategies import Story, stories


@given(stories())
def test_the_value_of_any_state_is_plain_ascii_json(story: Story) -> None:
    state = State(story.head, story.entries, True, story.handle, True, False, story.ended, False, 0)
    text = json.dumps(value_of(state), ensure_ascii=False)
    assert text.isascii()
    assert text.isprintable()
    times = [entry["mtime_ns"] for entry in json.loads(text)["entries"]]
    assert times == [entry.meta.mtime_ns for entry in story.entries]
