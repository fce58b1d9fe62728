"""What of a session's settings decides what it can cost, in the names of today and of the beta."""

from __future__ import annotations

import pytest

from metering.realtime.heard import Heard
from metering.realtime.session import Settings, limited

OFF: dict = {"audio": {"input": {"turn_detection": None}}}
ON: dict = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
QUIET: dict = {"turn_detection": {"type": "semantic_vad", "create_response": False}}


def test_a_session_may_answer_by_itself_until_it_says_otherwise():
    """Turn detection is on by default."""
    assert Settings().is_alone
    assert not Settings().updated(OFF).is_alone
    assert Settings().updated(OFF).updated(ON).is_alone
    assert not Settings().updated(QUIET).is_alone
    assert Settings().updated({"instructions": "x"}).is_alone


def test_while_an_update_is_under_way_the_dearer_holds():
    """OpenAI may not have seen it yet."""
    before, asked = Settings(limit=10), Settings(limit=20).updated(OFF)

    assert before.or_worse(asked) == Settings(limit=20, is_alone=True)
    assert Settings(limit=None).or_worse(asked).limit is None
    assert asked.or_worse(before).is_alone


@pytest.mark.parametrize(
    ("session", "is_beta", "after"),
    [
        ({}, False, {"max_output_tokens": 64}),
        ({}, True, {"max_response_output_tokens": 64}),
        ({"max_output_tokens": "inf"}, False, {"max_output_tokens": 64}),
        ({"max_response_output_tokens": "inf"}, True, {"max_response_output_tokens": 64}),
        ({"max_output_tokens": 7}, True, {"max_output_tokens": 7}),
    ],
)
def test_a_limit_is_written_where_there_is_none(session, is_beta, after):
    """One that is a number stays."""
    limited(session, 64, is_beta=is_beta)

    assert session == after


def test_a_conversation_is_bounded_by_what_went_into_it():
    """A token is a byte of text or 400 bytes of audio at the least, and all that was answered."""
    heard = Heard()
    heard.add_text(100)
    heard.add_audio(4 * 400)
    heard.output_tokens += 50

    assert heard.most_tokens == 100 + 4 + 50
    heard.is_open = True
    assert heard.most_tokens is None
