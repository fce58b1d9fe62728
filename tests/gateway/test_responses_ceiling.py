"""Whatever OpenAI may bill for a response as it is forwarded, the ceiling is not below it."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

from gateway.dev.stub_generation import _prompt_parts, _prompt_tokens
from gateway.dev.stub_response_bills import worst_units
from gateway.dev.stub_responses import _as_chat
from gateway.quote import Quote
from metering.money import Credits
from metering.usage import Usage
from tests.gateway.response_bodies import QUOTES, quoted


def worst_bill(quote: Quote, body: bytes) -> Usage:
    """The dearest that the forwarded bytes allow."""
    fields, before = json.loads(body), quote.call.before_tokens
    limits = {"max_input": quote.row.max_input}
    if before is None and fields.get("previous_response_id"):
        # It may have been as long as the model takes.
        limits["before"] = quote.row.max_input
    else:
        limits["before"] = before or 0
    units = worst_units(fields, **limits)
    return Usage.from_names(units | {"output": min(units["output"], quote.row.max_output)})


def test_no_bill_is_above_its_ceiling() -> None:
    """4,000 bodies; of those that are not refused, every bill is within what would be held."""
    chance = Random(20261122)
    seen: Counter[str] = Counter()
    for _ in range(4_000):
        quote = quoted(chance)
        if quote is None:
            seen["refused"] += 1
            continue
        bill = worst_bill(quote, quote.body)
        seen[quote.call.endpoint] += 1
        seen[f"{len(bill)} units, {quote.most.turns > 1}"] += 1

        cost = quote.rate.cost(bill)
        assert cost <= quote.ceiling.cost_to_us, (quote.body[:2_000], bill, quote.most)
        charge = QUOTES.charge(quote, quote.rate, bill)
        assert charge.credits_used <= quote.ceiling.credits_used
        if quote.row.max_input + quote.output_limit <= quote.row.context_window:
            # Such a usage is not taken for a mistake of OpenAI's.
            assert bill.tokens <= quote.row.context_window * quote.most.turns

    assert seen["responses"] + seen["responses.compact"] >= 2_000, seen
    assert seen["responses.compact"] >= 100, seen
    assert seen["refused"] >= 400, seen
    assert seen["3 units, True"] >= 100, seen


def test_a_fitted_call_is_within_what_was_granted() -> None:
    """Its limit is lowered in the body; the bill of that body is within the grant."""
    chance = Random(7)
    fitted = 0
    for _ in range(600):
        quote = quoted(chance)
        if quote is None or not QUOTES.may_fit(quote):
            continue
        floor = QUOTES.floor(quote).micro
        granted = Credits(chance.randint(floor, quote.ceiling.credits_used.micro))
        if granted == quote.ceiling.credits_used:
            continue
        lower = QUOTES.fit(quote, granted)
        bill = worst_bill(lower, lower.body)

        fitted += 1
        assert QUOTES.charge(lower, lower.rate, bill).credits_used <= granted
        # OpenAI refuses a lower limit than this with 400.
        assert json.loads(lower.body)["max_output_tokens"] >= 16
    assert fitted >= 200


def test_a_counted_prompt_is_never_below_what_openai_counts() -> None:
    """Tighter than by bytes, and still a bound of the tokens."""
    chance = Random(11)
    tighter = 0
    for _ in range(300):
        quote = quoted(chance)
        if quote is None:
            continue
        counted = quote.meter.count_input(quote.call, quote.row)
        fields = _as_chat(quote.call.fields)
        parts = _prompt_parts(fields)

        assert counted <= quote.input_tokens
        assert counted >= _prompt_tokens(fields, parts, quote.row.encoding)
        tighter += counted < quote.input_tokens
    assert tighter >= 80
