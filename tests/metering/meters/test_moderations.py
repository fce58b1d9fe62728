"""The meter of moderations: nothing is held and nothing is used."""

from __future__ import annotations

from metering.call import Call
from metering.meters.meter import Meter
from metering.meters.moderations import Moderations, ModerationsReader
from metering.usage import Usage
from tests.rows import MODERATION

CALL = Call("moderations", MODERATION.id, {"input": "x" * 1000}, False, 1100)


def test_nothing_of_it_costs() -> None:
    """Not its ceiling, not what is counted, not a call that nobody saw the end of."""
    meter: Meter = Moderations()

    assert meter.ceiling(CALL, MODERATION, output_limit=0).usage() == Usage()
    assert meter.ceiling(CALL, MODERATION, output_limit=0).tokens == 0
    assert meter.count_input(CALL, MODERATION) == 0
    assert meter.unseen(CALL, MODERATION) == Usage()
    assert meter.fits is False


def test_usage_is_known_once_a_reply_was_seen() -> None:
    """So its row is no estimate; a usage that OpenAI might report is not billed."""
    reading = ModerationsReader()
    before = reading.source
    reading.feed_json(b'{"id":"modr-1","model":"omni","results":[],"usage":{"prompt_tokens":5}}')

    assert (before, reading.source, reading.usage()) == ("none", "reported", Usage())
    assert (reading.upstream_id, reading.model) == ("modr-1", "omni")


def test_reply_that_is_no_json_is_flagged() -> None:
    """It is passed on as it is."""
    reading = ModerationsReader()
    reading.feed_json(b"<html>")

    assert reading.flagged == ["reply_not_understood"]
