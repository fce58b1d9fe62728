"""Whatever a body says, the most that OpenAI can bill for it is held."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest

from gateway.dev.stub_asked import Asked, Received
from gateway.dev.stub_bills import Bills
from gateway.dev.stub_chat import in_its_tier
from gateway.dev.stub_completions import _read
from gateway.dev.stub_embeddings import _inputs, _tokens
from gateway.dev.stub_generation import Generation, generate
from gateway.dev.stub_script import Script
from gateway.dev.stub_units import units_of
from metering.call import Call
from metering.meters.chat_completions import ChatCompletions
from metering.meters.completions import Completions
from metering.meters.embeddings import Embeddings
from metering.meters.meter import Meter, OutputLimits
from metering.prices import ModelRow
from metering.usage import Unit, Usage
from tests.gateway.random_bodies import chat, completion, embedding
from tests.rows import EMBEDDING, INSTRUCT, SENSES, TEXT, a_row

BODIES = 2_000
WORST = Script(worst=True)
DEAR = TEXT | SENSES | {Unit.CACHE_WRITE_12H: 5_000_000}
LIMITS = {"context_window": 1_050_000, "max_input": 922_000, "max_output": 128_000}


def _tiers(dear: dict[Unit, int]) -> dict[str, dict[Unit, int]]:
    return {
        "flex": {unit: price // 2 for unit, price in dear.items()},
        "priority": {unit: price * 2 for unit, price in dear.items()},
    }


ROWS = [
    a_row(name, "chat", DEAR, tiers=_tiers(DEAR), **LIMITS)
    for name in ("gpt-4o-mini", "gpt-audio-all", "gpt-5-search-api")
]


def worst_chat(fields: dict[str, Any], row: ModelRow) -> dict[str, int]:
    """
    All that OpenAI could bill: what lies elsewhere is as long as the model reads.

    All of the text is written to the cache for 12 hours, which is the dearest it can be.
    """
    script = in_its_tier(fields, WORST)
    made: Generation = asyncio.run(generate(fields, script))
    units = units_of(made.usage())
    parts = json.dumps(fields["messages"])
    elsewhere = ("https://", "file_id", "application/pdf")
    if made.heard.searches or any(word in parts for word in elsewhere):
        known = sum(units.get(unit, 0) for unit in ("input", "audio_input", "image_input"))
        units["input"] = units.get("input", 0) + row.max_input - known
    units["cache_write_12h"] = units.pop("input", 0)
    return units | ({"web_searches": made.n} if made.heard.searches else {})


def worst_completion(fields: dict[str, Any], row: ModelRow) -> dict[str, int]:
    request = Received("POST", "/v1/completions", [], b"")
    unused = cast(Any, None)
    asked = Asked(request, {}, unused, unused, Bills(), "t-1", lambda: WORST)
    return units_of(_read(asked, fields).generation.usage())


def worst_embedding(fields: dict[str, Any], row: ModelRow) -> dict[str, int]:
    return {"input": _tokens(_inputs(fields["input"]), row.encoding, worst=True)}


Body = Callable[[Random], dict[str, Any]]
Worst = Callable[[dict[str, Any], ModelRow], dict[str, int]]


@pytest.mark.parametrize(
    ("meter", "rows", "body", "worst"),
    [
        (ChatCompletions(), ROWS, chat, worst_chat),
        (Completions(), [INSTRUCT], completion, worst_completion),
        (Embeddings(), [EMBEDDING], embedding, worst_embedding),
    ],
    ids=["chat", "completions", "embeddings"],
)
def test_worst_bill_is_held(meter: Meter, rows: list[ModelRow], body: Body, worst: Worst) -> None:
    """By bytes, and of what does not lie elsewhere when it is counted too."""
    random = Random(5)
    for number in range(BODIES):
        row = rows[number % len(rows)]
        call = a_call(meter, body(random) | {"model": row.id}, row)
        limit = meter.output_limit(call, OutputLimits(default=4_000, most=row.max_output))
        meter.prepare(call, output_limit=limit)
        call.body_bytes = len(json.dumps(call.fields, ensure_ascii=False).encode())
        ceiling = meter.ceiling(call, row, output_limit=limit)
        rate = row.rates[meter.tier(call)]
        billed = Usage.from_names(worst(call.fields, row))

        shown = (number, json.dumps(call.fields)[:2_000])
        assert rate.cost(billed) <= rate.ceiling_cost(ceiling.usage()), shown
        assert billed.input_tokens <= ceiling.input_tokens, shown
        assert billed.tokens - billed.input_tokens <= ceiling.output_tokens, shown


def test_counted_input_is_never_below_the_bill() -> None:
    """The bound by tokens is what a call is fitted with, so it must be one as well."""
    random, meter = Random(7), ChatCompletions()
    for number in range(BODIES // 4):
        row = ROWS[number % 2]
        call = a_call(meter, chat(random) | {"model": row.id}, row)
        meter.prepare(call, output_limit=50)
        call.body_bytes = len(json.dumps(call.fields, ensure_ascii=False).encode())
        billed = Usage.from_names(worst_chat(call.fields, row))

        counted = meter.count_input(call, row)
        assert billed.input_tokens <= counted, json.dumps(call.fields)[:2_000]


def a_call(meter: Meter, fields: dict[str, Any], row: ModelRow) -> Call:
    allowed = frozenset({"urls", "files", "hosted_tools", "stored"})
    if (fields.get("best_of") or 20) < (fields.get("n") or 1):
        del fields["n"]
    call = Call("any", row.id, fields, fields.get("stream") is True, 0, allowed=allowed)
    meter.read(call)
    return call
