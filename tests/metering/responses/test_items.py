"""The input of a response: only what the bytes bound is let through without a switch."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import response_input_item_param as sdk

from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.responses import items
from metering.responses.items import read_input, sources_of
from tests.metering.responses.sdk_kinds import kinds_of

NOTHING: frozenset[str] = frozenset()
PNG = "data:image/png;base64,iVBORw0KGgo="


def message(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


def image(**where: Any) -> dict[str, Any]:
    return {"type": "input_image", "detail": "auto", **where}


def file(**where: Any) -> dict[str, Any]:
    return {"type": "input_file", "filename": "a.pdf", **where}


BOUNDED: list[Any] = [
    "Hello",
    [],
    [{"role": "user", "content": "Hello"}],
    [message({"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"ttl": "12h"}})],
    [message(image(image_url=PNG))],
    [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "phase": "final_answer",
            "content": [
                {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "no"},
            ],
        }
    ],
    [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}],
    [{"type": "function_call_output", "call_id": "c", "output": "12"}],
    [
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "12"}, image(image_url=PNG)],
        }
    ],
    [{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "ls"}],
    [{"type": "custom_tool_call_output", "call_id": "c", "output": "ok"}],
    [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB"}],
    [{"type": "compaction", "encrypted_content": "gAAAAAB"}],
    [{"type": "configuration_update", "reasoning": {"effort": "low"}}],
    [{"type": "additional_tools", "role": "developer", "tools": [{"type": "function"}]}],
]


@pytest.mark.parametrize("given", BOUNDED)
def test_what_is_in_the_body_is_let_through_and_bounded_by_it(given: Any) -> None:
    """Texts, calls of the app's own tools, images as data URLs."""
    read_input("input", given, NOTHING)

    assert not sources_of({"input": given}).is_open


@pytest.mark.parametrize("given", [[message(file(file_data="data:application/pdf;base64,JVBE"))]])
def test_a_file_in_the_body_is_bounded_by_what_the_model_takes(given: Any) -> None:
    """Its pages become pictures, and what is compressed in it unfolds."""
    read_input("input", given, NOTHING)

    assert sources_of({"input": given}).is_open


SWITCHED = [
    ("urls", [message(image(image_url="https://example.com/a.png"))], "image_url"),
    ("urls", [message(image(image_url="DATA:image/png;base64,AA"))], "image_url"),
    ("urls", [message(file(file_url="https://example.com/a.pdf"))], "file_url"),
    ("files", [message(image(file_id="file-1"))], "file_id"),
    ("files", [message(file(file_id="file-1"))], "file_id"),
    (
        "files",
        [{"type": "function_call_output", "call_id": "c", "output": [file(file_id="file-1")]}],
        "file_id",
    ),
    ("stored", [{"type": "item_reference", "id": "msg_1"}], "id"),
    ("stored", [{"id": "msg_1"}], "id"),
    ("stored", [{"type": "reasoning", "id": "rs_1", "summary": []}], "encrypted_content"),
    ("hosted_tools", [{"type": "web_search_call", "id": "ws_1", "action": {}}], "type"),
    ("hosted_tools", [{"type": "file_search_call", "id": "fs_1", "queries": []}], "type"),
    ("mcp", [{"type": "mcp_call", "id": "mcp_1"}], "type"),
]


@pytest.mark.parametrize(("switch", "given", "part"), SWITCHED)
def test_what_is_not_in_the_body_needs_its_switch(switch: str, given: Any, part: str) -> None:
    """Switched on, only the model's own limit bounds it."""
    every = frozenset({"urls", "files", "stored", "hosted_tools", "mcp"})
    with pytest.raises(CostNotBounded) as refused:
        read_input("input", given, every - {switch})
    read_input("input", given, frozenset({switch}))

    assert refused.value.part.endswith(f".{part}")
    assert sources_of({"input": given}).is_open


REFUSED: list[tuple[Any, str]] = [
    ([{"type": "image_generation_call", "id": "ig_1"}], "input[0].type"),
    ([{"type": "compaction_trigger"}], "input[0].type"),
    ([{"type": "program", "id": "p"}], "input[0].type"),
    ([{"type": "something_new"}], "input[0].type"),
    ([{"role": "user", "content": "a", "cache": 1}], "input[0].cache"),
    ([message({"type": "input_audio", "input_audio": {}})], "input_audio"),
    ([message({"type": "input_text", "text": "a", "more": 1})], "input[0].content[0].more"),
    ([{"type": "configuration_update", "model": "x"}], "input[0].model"),
    (
        [{"type": "configuration_update", "reasoning": {"mode": "pro"}}],
        "input[0].reasoning.mode",
    ),
    ([{"type": "additional_tools", "tools": [{"type": "web_search"}]}], "input[0].tools[0].type"),
]


@pytest.mark.parametrize(("given", "part"), REFUSED)
def test_what_nobody_has_bounded_is_refused_by_name(given: Any, part: str) -> None:
    """Unknown parts may cost."""
    with pytest.raises(CostNotBounded) as refused:
        read_input("input", given, NOTHING)

    assert refused.value.part == part


@pytest.mark.parametrize(
    "given",
    [
        [3],
        [[]],
        [{"type": 3}],
        [{"type": ["message"], "role": "user"}],
        [{"role": "tool", "content": "a"}],
        [{"role": ["user"], "content": "a"}],
        [{"role": "user", "content": 3}],
        [message("a")],  # type: ignore[arg-type]
        [message({"type": ["input_text"]})],
        [message(image(image_url=3))],
        [message(file(file_url=["https://example.com"]))],
        [{"type": "function_call_output", "output": 3}],
        [{"type": "configuration_update", "reasoning": 3}],
        [{"type": "additional_tools", "tools": 3}],
        [{"content": "no type, no role"}],
    ],
)
def test_what_openai_does_not_document_is_not_understood(given: Any) -> None:
    """400, and never a 500."""
    with pytest.raises(BodyNotUnderstood):
        read_input("input", given, NOTHING)


def test_every_kind_of_item_of_the_sdk_is_decided_on() -> None:
    """A kind that a new SDK brings fails here, until somebody has said what it costs."""
    known = items._BY_BYTES | items._OUTPUTS | items._HOSTED | items._MCP | items._WITH_TOOLS
    known |= {"message", "item_reference", "configuration_update"}
    refused = {"image_generation_call", "compaction_trigger", "program", "program_output"}

    assert kinds_of(sdk.ResponseInputItemParam) == known | refused


def test_images_are_counted_where_they_are() -> None:
    """In messages and in what functions answered."""
    output = {"type": "function_call_output", "output": [image(image_url=PNG)]}

    given = [message(image(image_url=PNG), image(image_url=PNG)), output]

    assert sources_of({"input": given}).images == 3
