"""Whatever OpenAI may bill for a response as it is forwarded, the ceiling is not below it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from gateway.dev.stub_generation import _prompt_parts, _prompt_tokens
from gateway.dev.stub_response_bills import worst_units
from gateway.dev.stub_responses import _as_chat
from gateway.endpoints import METERS
from gateway.quote import Quote, Quotes
from gateway.read_call import Labels
from metering.call import Call
from metering.errors import CostNotBounded, MeteringError
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import Tariff
from metering.usage import Unit, Usage
from storage.keys import KeyHolder, Scopes
from tests.responses_card import with_tools

CARD = RateCard.load()
MODELS = ("gpt-6-sol", "gpt-6-luna", "gpt-5.4-mini", "gpt-4o-mini", "o3")
SWITCHES = (
    *("hosted_tools", "mcp", "urls", "files", "stored", "conversations"),
    *("vector_stores", "containers"),
)
QUOTES = Quotes(
    card=lambda: CARD,
    tariff=Tariff(credits_per_usd=Decimal("12.00"), markup=Decimal("1.50"), minimum=Credits(0)),
    meters=METERS,
    default_max_output_tokens=4_000,
    min_output_tokens=1,
    may_fit=True,
)
HOLDER = KeyHolder(
    key_id="key",
    business="acme",
    business_status="active",
    scopes=Scopes(),
    default_feature=None,
    credit_cap=None,
    expires_at=None,
    revoked_at=None,
)
LABELS = Labels(user=None, feature=None, may_fit=True, figures_in_stream=False)

PNG = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}


def a_text(chance: Random) -> str:
    alphabet = chance.choice(
        ["abc ", '\n\t\\"', "漢字かな", "🙂👍🏽", "<|endoftext|>", "0123456789"]
    )
    return "".join(chance.choices(alphabet, k=chance.choice([0, 1, 7, 200, 3_000])))


def a_part(chance: Random) -> dict[str, Any]:
    return chance.choice(
        [
            {"type": "input_text", "text": a_text(chance)},
            {"type": "input_text", "text": a_text(chance)},
            {"type": "input_image", "detail": "original", "image_url": PNG},
            {"type": "input_image", "detail": "auto", "image_url": "https://example.com/a.png"},
            {"type": "input_image", "detail": "auto", "file_id": "file-1"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;,"},
            {"type": "input_file", "file_id": "file-1"},
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        ]
    )


def an_item(chance: Random) -> dict[str, Any]:
    parts = [a_part(chance) for _ in range(chance.choice([1, 1, 2, 5]))]
    texts = [{"type": "input_text", "text": a_text(chance)}]
    return chance.choice(
        [
            {"role": "user", "content": a_text(chance)},
            {"role": "user", "content": texts},
            {"role": "user", "content": parts},
            {"type": "message", "role": "developer", "content": parts},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": a_text(chance)},
            {"type": "function_call_output", "call_id": "c", "output": a_text(chance)},
            {"type": "function_call_output", "call_id": "c", "output": parts},
            {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": a_text(chance)},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB"},
            {"type": "item_reference", "id": "msg_1"},
            {"type": "web_search_call", "id": "ws_1", "action": {"type": "open_page"}},
        ]
    )


def a_tool(chance: Random) -> dict[str, Any]:
    return chance.choice(
        [
            FUNCTION,
            FUNCTION | {"description": a_text(chance)},
            {"type": "custom", "name": "c", "description": a_text(chance)},
            {"type": "web_search"},
            {"type": "file_search", "vector_store_ids": ["vs_1"]},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            {"type": "mcp", "server_label": "s", "server_url": "https://a.b"},
            {"type": "apply_patch"},
        ]
    )


OPTIONS: dict[str, Callable[[Random], Any]] = {
    "instructions": a_text,
    "max_output_tokens": lambda chance: chance.choice([16, 100, 10_000, 10**6]),
    "max_tool_calls": lambda chance: chance.choice([1, 2, 64]),
    "metadata": lambda chance: {"a": a_text(chance)[:100]},
    "prompt_cache_options": lambda chance: {"ttl": chance.choice(["30m", "12h"])},
    "service_tier": lambda chance: chance.choice(["auto", "default", "flex", "priority", "fast"]),
    "text": lambda chance: {"format": {"type": "json_schema", "name": a_text(chance)[:60]}},
    "stream": lambda chance: True,
    "store": lambda chance: chance.random() < 0.5,
    "conversation": lambda chance: "conv_1",
    "previous_response_id": lambda chance: "resp_1",
}
RARE = {"conversation": 0.05, "previous_response_id": 0.1, "store": 0.2}


def a_call(chance: Random) -> Call:
    """A body as a caller may send it, for a business with some switches on."""
    fields: dict[str, Any] = {"model": chance.choice(MODELS), "input": a_text(chance)}
    if chance.random() < 0.7:
        fields["input"] = [an_item(chance) for _ in range(chance.choice([1, 2, 6]))]
    if chance.random() < 0.5:
        fields["tools"] = [a_tool(chance) for _ in range(chance.choice([1, 2, 3]))]
    for name, make in OPTIONS.items():
        if chance.random() < RARE.get(name, 0.3):
            fields[name] = make(chance)
    return Call(
        endpoint=chance.choice(["responses"] * 9 + ["responses.compact"]),
        model=fields["model"],
        fields=fields,
        streams=False,
        body_bytes=len(json.dumps(fields)),
        allowed=frozenset(switch for switch in SWITCHES if chance.random() < 0.85),
        before_tokens=chance.choice([0, 5_000, 400_000, None]),
    )


def quoted(chance: Random) -> Quote | None:
    call = a_call(chance)
    if call.endpoint == "responses.compact":
        kept = ("model", "input", "instructions", "service_tier", "previous_response_id")
        call.fields = {name: call.fields[name] for name in kept if name in call.fields}
    try:
        return QUOTES.quote(call, HOLDER, LABELS)
    except MeteringError:
        return None


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


# One rule each


def quote_of(allowed: set[str] | None = None, before: int | None = 0, **fields: Any) -> Quote:
    given: dict[str, Any] = {"model": "gpt-6-sol", "input": "Hello"} | fields
    call = Call(
        endpoint="responses",
        model=given["model"],
        fields=given,
        streams=False,
        body_bytes=len(json.dumps(given)),
        allowed=frozenset(allowed or ()),
        before_tokens=before,
    )
    return QUOTES.quote(call, HOLDER, LABELS)


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
