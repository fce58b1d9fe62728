"""How a response is bounded and what is written into it, rule by rule."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.endpoints import METERS
from gateway.quote import Quotes
from metering.errors import CostNotBounded
from metering.money import Credits
from metering.rates import RateCard
from metering.usage import Unit, Usage
from tests.gateway.response_bodies import CARD, HOLDER, LABELS, PNG, QUOTES, quote_of
from tests.responses_card import with_tools


def test_text_is_bounded_by_its_bytes() -> None:
    """And a few tokens for the framing."""
    quote = quote_of()

    assert quote.input_tokens == len(quote.body) + 64
    assert quote.most.usage() == Usage({Unit.INPUT: quote.input_tokens, Unit.OUTPUT: 4_000})


def test_what_is_written_into_the_body() -> None:
    """The limit, the tier, and that nothing is stored; `auto` is not left to our account."""
    quote = quote_of(service_tier="auto")

    added = {"max_output_tokens": 4_000, "service_tier": "default", "store": False}
    assert json.loads(quote.body) == {"model": "gpt-6-sol", "input": "Hello"} | added
    assert not quote.call.stores


@pytest.mark.parametrize(
    ("asked", "tier"),
    [("flex", "flex"), ("priority", "priority"), ("fast", "priority"), (None, "default")],
)
def test_a_tier_is_held_and_forwarded_as_what_it_is(asked: str | None, tier: str) -> None:
    """`fast` is another name of `priority`."""
    quote = quote_of(service_tier=asked)

    assert (quote.rate.tier, json.loads(quote.body)["service_tier"]) == (tier, tier)


def test_a_tier_that_the_model_has_no_price_for_is_refused() -> None:
    """400 cost_not_bounded, naming service_tier."""
    with pytest.raises(CostNotBounded) as refused:
        quote_of(service_tier="ultrafast")

    assert refused.value.part == "service_tier"


def test_a_stored_response_is_marked() -> None:
    """Its id has an owner before its first byte leaves."""
    quote = quote_of({"stored"}, store=True)

    assert quote.call.stores
    assert json.loads(quote.body)["store"] is True


def test_tools_of_openai_are_bounded_turn_by_turn() -> None:
    """max_tool_calls is written into the body; the model reads its whole input each time."""
    quote = quote_of({"hosted_tools"}, tools=[{"type": "web_search"}])

    assert json.loads(quote.body)["max_tool_calls"] == 4
    assert quote.input_tokens == 5 * quote.row.max_input
    assert quote.most.others == Usage({Unit.WEB_SEARCHES: 32})
    own = quote_of({"hosted_tools"}, tools=[{"type": "web_search"}], max_tool_calls=2)
    assert own.input_tokens == 3 * own.row.max_input


def test_a_tool_without_a_price_in_the_row_is_refused() -> None:
    """Never held as nothing."""
    prices = {Unit.WEB_SEARCHES: 1}
    card = RateCard(with_tools(row, prices) for row in CARD.models.values())
    quotes = Quotes(
        card=lambda: card,
        tariff=QUOTES._tariff,
        meters=METERS,
        default_max_output_tokens=100,
        min_output_tokens=1,
        may_fit=True,
    )
    tool = {"type": "code_interpreter", "container": {"type": "auto"}}
    call = replace(quote_of().call, allowed=frozenset({"hosted_tools"}))
    call.fields = {"model": "gpt-6-sol", "input": "Hello", "tools": [tool]}

    with pytest.raises(CostNotBounded) as refused:
        quotes.quote(call, HOLDER, LABELS)

    assert refused.value.part == "tools (code_interpreter)"


def test_what_an_earlier_response_had_is_read_again() -> None:
    """What it used, in and out; all that the model takes when that is not known."""
    alone = quote_of({"stored"})
    after = quote_of({"stored"}, 5_000, previous_response_id="resp_1")
    unknown = quote_of({"stored"}, None, previous_response_id="resp_1")

    longer = len(after.body) - len(alone.body)
    assert after.input_tokens == alone.input_tokens + longer + 5_000
    assert unknown.input_tokens == unknown.row.max_input


def test_a_caller_that_saw_nothing_pays_for_its_text_and_not_for_what_could_have_been() -> None:
    """Text at its bound; an image and a search as they usually are."""
    text = quote_of()
    part = {"type": "input_image", "detail": "auto", "image_url": PNG}
    image = quote_of(input=[{"role": "user", "content": [part]}])
    search = quote_of({"hosted_tools"}, tools=[{"type": "web_search"}])

    for quote, least, most in ((text, 64, 150), (image, 1_250, 1_300), (search, 5, 50)):
        unseen = quote.meter.unseen(quote.call, quote.row)
        assert least <= unseen[Unit.INPUT] <= most < 922_000
        assert unseen.tokens <= quote.input_tokens


def test_counting_costs_nothing_and_compacting_all_that_the_model_can_give() -> None:
    """A compaction knows no output limit."""
    call = quote_of().call
    call.fields = {"model": "gpt-6-sol", "input": "Hello"}
    free = QUOTES.quote(replace(call, endpoint="responses.input_tokens"), HOLDER, LABELS)
    compaction = QUOTES.quote(replace(call, endpoint="responses.compact"), HOLDER, LABELS)

    assert free.ceiling.credits_used == Credits(0) == QUOTES.floor(free)
    assert compaction.output_limit == compaction.row.max_output
    assert not QUOTES.may_fit(compaction)
