"""Bodies of responses as callers may send them, and their quotes."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from gateway.endpoints import METERS
from gateway.quote import Quote, Quotes
from gateway.read_call import Labels
from metering.call import Call
from metering.errors import MeteringError
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import Tariff
from storage.keys import KeyHolder, Scopes

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
