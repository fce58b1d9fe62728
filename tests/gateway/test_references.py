"""Ids in bodies: every one is found wherever it stands, and no text is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.references import FIELDS, fields_of_form, references_in

RESP, FILE, VS, CONV = "resp_0123456789ab", "file-0123456789ab", "vs_0123456789ab", "conv_012345678"
CNTR, MSG, RS = "cntr_0123456789ab", "msg_0123456789ab", "rs_0123456789ab"


def named(fields: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one.id, one.kind) for one in references_in(fields).named}


BODIES: list[tuple[dict[str, Any], set[tuple[str, str]]]] = [
    ({"previous_response_id": RESP}, {(RESP, "response")}),
    ({"previous_response_id": "whatever"}, {("whatever", "response")}),
    ({"conversation": CONV}, {(CONV, "conversation")}),
    ({"conversation": {"id": CONV}}, {(CONV, "conversation")}),
    ({"conversation": {"id": "odd"}}, {("odd", "conversation")}),
    ({"prompt": {"id": "odd", "version": "2"}}, {("odd", "prompt")}),
    ({"voice": {"id": "odd"}}, {("odd", "voice")}),
    ({"tools": [{"type": "file_search", "vector_store_ids": [VS, "x"]}]},
     {(VS, "vector_store"), ("x", "vector_store")}),
    ({"tools": [{"type": "code_interpreter", "container": CNTR}]}, {(CNTR, "container")}),
    ({"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [FILE]}}]},
     {(FILE, "file")}),
    ({"tools": [{"type": "image_generation", "input_image_mask": {"file_id": FILE}}]},
     {(FILE, "file")}),
    ({"tools": [{"type": "mcp", "tunnel_id": "t"}]}, {("t", "tunnel")}),
    ({"tools": [{"type": "shell", "environment": {"skills": [{"skill_id": "s"}]}}]},
     {("s", "skill")}),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": FILE}]}]},
     {(FILE, "file")}),
    ({"input": [{"type": "item_reference", "id": MSG}]}, {(MSG, "item")}),
    ({"input": [{"id": MSG}]}, {(MSG, "item")}),
    ({"input": [{"type": "code_interpreter_call", "id": "ci_1", "container_id": CNTR}]},
     {(CNTR, "container")}),
    ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": FILE}}]}]},
     {(FILE, "file")}),
    ({"prompt_cache_options": {"comparison_response_id": RESP}}, {(RESP, "response")}),
    ({"input_file_id": FILE}, {(FILE, "file")}),
    ({"training_file": FILE, "validation_file": "x"}, {(FILE, "file"), ("x", "file")}),
    ({"model": "ft:gpt-4.1-mini:acme::abc"}, {("ft:gpt-4.1-mini:acme::abc", "model")}),
    ({"some": {"new": ["field", {"deep": [[RESP]]}]}}, {(RESP, "response")}),
    ({"something_new": "thread_0123456789"}, {("thread_0123456789", "thread")}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), BODIES)
def test_an_id_is_found_wherever_it_stands(fields, expected):
    """By the name of its field, whatever it looks like; else by its looks."""
    assert named(fields) == expected


NO_IDS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": FILE}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": RESP}]}]},
    {"messages": [{"role": "tool", "tool_call_id": "call_0123456789", "content": VS}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"id": "fc_0123456789", "type": "function",
        "function": {"name": "file_search_all", "arguments": FILE}}]}]},
    {"input": RESP},
    {"input": [FILE, VS]},
    {"prompt": [RESP]},
    {"instructions": CONV},
    {"voice": "alloy"},
    {"conversation": "auto"},
    {"metadata": {"of": RESP}},
    {"tools": [{"type": "function", "name": "run_everything", "parameters":
        {"properties": {"file_upload_now": {"enum": ["file_upload_now", RESP]}}}}]},
    {"user": "agent_0123456789", "safety_identifier": RESP, "prompt_cache_key": CONV},
    {"input": [{"type": "function_call_output", "call_id": "fc_0123456789", "output": FILE}]},
    {"filename_hint": f"see {FILE}"},
    {"short": "file-1"},
    {"newline": f"{FILE}\n"},
]  # fmt: skip


@pytest.mark.parametrize("fields", NO_IDS)
def test_a_text_is_no_id(fields):
    """Nor is what only means something within the call, or to the app."""
    assert not references_in(fields)


def test_an_item_that_comes_back_whole_is_no_reference():
    """Its id is told apart from the one of a reference, which has nothing else."""
    message = {"type": "message", "role": "assistant", "id": MSG, "content": []}
    reasoning = {"type": "reasoning", "id": RS, "encrypted_content": "gAAAA", "summary": []}

    found = references_in({"input": [message, reasoning, {"type": "item_reference", "id": MSG}]})

    assert sorted(item["type"] for item in found.echoed) == ["message", "reasoning"]
    assert [one.id for one in found.named] == [MSG]


def test_every_known_field_counts_at_any_depth_and_in_lists():
    """One by one, so that none can be lost."""
    for name, kind in FIELDS.items():
        assert named({"a": [{"b": {name: "x"}}]}) == {("x", kind)}, name
        assert named({"a": {name: ["x", "y"]}}) == {("x", kind), ("y", kind)}, name


def test_depth_is_no_matter():
    """The walk is no recursion."""
    deep: Any = {"file_id": FILE}
    for _ in range(5000):
        deep = [deep]

    assert named({"a": deep}) == {(FILE, "file")}


def test_fields_of_a_form_are_walked_by_their_last_name():
    """As OpenAI reads them."""
    parts = [("model", "gpt-image-2"), ("image[0][file_id]", "x"), ("file_ids[]", FILE),
             ("file_ids[]", "y"), ("prompt", RESP), ("a.file_id", "z")]  # fmt: skip

    assert {one.id for one in references_in(fields_of_form(parts)).named} == {FILE, "x", "y", "z"}
