"""The tools of a response: free ones, priced ones behind a switch, and those that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import tool_param as sdk

from metering.errors import BodyNotUnderstood, CostNotBounded, MeteringError
from metering.responses.tools import billed_units, read_tools, run_by_openai
from metering.usage import Unit
from tests.metering.responses.sdk_kinds import kinds_of

NOTHING: frozenset[str] = frozenset()
FUNCTION = {"type": "function", "name": "f", "parameters": {}, "strict": True}
AUTO = {"type": "auto"}
SEARCH_FILES = {"type": "file_search", "vector_store_ids": ["vs_1"]}


@pytest.mark.parametrize(
    "tool",
    [
        FUNCTION,
        {"type": "custom", "name": "c", "format": {"type": "text"}},
        {"type": "namespace", "name": "n", "description": "", "tools": [FUNCTION]},
    ],
)
def test_tools_that_the_app_runs_are_free(tool: dict[str, Any]) -> None:
    """Their bytes are all that they cost."""
    read_tools("tools", [tool], NOTHING)

    assert not run_by_openai({"tools": [tool]})
    assert billed_units({"tools": [tool]}) == {}


@pytest.mark.parametrize(
    ("tool", "switches", "units"),
    [
        ({"type": "web_search"}, {"hosted_tools"}, {Unit.WEB_SEARCHES}),
        ({"type": "web_search_2025_08_26"}, {"hosted_tools"}, {Unit.WEB_SEARCHES}),
        (SEARCH_FILES, {"hosted_tools", "vector_stores"}, {Unit.FILE_SEARCHES}),
        (
            {"type": "code_interpreter", "container": AUTO},
            {"hosted_tools"},
            {Unit.CONTAINERS},
        ),
        (
            {"type": "code_interpreter", "container": AUTO | {"file_ids": ["file-1"]}},
            {"hosted_tools", "files"},
            {Unit.CONTAINERS},
        ),
        (
            {"type": "code_interpreter", "container": "cntr_1"},
            {"hosted_tools", "containers"},
            {Unit.CONTAINERS},
        ),
        ({"type": "mcp", "server_label": "s", "server_url": "https://a.b"}, {"mcp"}, set()),
        ({"type": "local_shell"}, {"hosted_tools"}, set()),
        ({"type": "shell", "environment": {"type": "local"}}, {"hosted_tools"}, set()),
        ({"type": "tool_search"}, {"hosted_tools"}, set()),
    ],
)
def test_tools_of_openai_need_every_switch_they_touch(
    tool: dict[str, Any], switches: set[str], units: set[Unit]
) -> None:
    """One switch less, and the call is refused by name."""
    read_tools("tools", [tool], frozenset(switches))
    assert run_by_openai({"tools": [FUNCTION, tool]})
    assert set(billed_units({"tools": [tool]})) == units

    for switch in switches:
        with pytest.raises(CostNotBounded) as refused:
            read_tools("tools", [FUNCTION, tool], frozenset(switches - {switch}))
        assert refused.value.part.startswith("tools[1].")
        assert repr(switch) in refused.value.message


EVERY = frozenset({"hosted_tools", "mcp", "files", "vector_stores", "containers", "urls"})


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "image_generation"},
        {"type": "programmatic_tool_calling"},
        {"type": "web_search_preview"},
        {"type": "web_search_preview_2025_03_11"},
        {"type": "something_new"},
        {"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]},
        {"type": "namespace", "name": "n", "tools": 3},
        {"type": "code_interpreter", "container": AUTO | {"memory_limit": "64g"}},
        {"type": "code_interpreter", "container": AUTO | {"gpu": True}},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "shell", "environment": {"type": "local", "skills": [{"name": "x"}]}},
        {"type": "shell"},
    ],
)
def test_what_has_no_price_is_refused_whatever_is_switched_on(tool: dict[str, Any]) -> None:
    """Unknown is never free."""
    with pytest.raises(CostNotBounded):
        read_tools("tools", [tool], EVERY)


@pytest.mark.parametrize(
    "tools",
    [
        {},
        [3],
        [{}],
        [{"type": 3}],
        [{"type": "code_interpreter"}],
        [{"type": "shell", "environment": 3}],
    ],
)
def test_what_openai_does_not_document_is_not_understood(tools: Any) -> None:
    """400, and never a 500."""
    with pytest.raises(BodyNotUnderstood):
        read_tools("tools", tools, EVERY)


def test_tools_within_the_input_count_too() -> None:
    """An app may bring them there."""
    fields = {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]}

    assert run_by_openai(fields)
    assert set(billed_units(fields)) == {Unit.WEB_SEARCHES}


def test_every_tool_of_the_sdk_is_refused_without_a_switch_but_the_apps_own() -> None:
    """A tool that a new SDK brings is refused until somebody has said what it costs."""
    kinds = kinds_of(sdk.ToolParam)
    assert {"function", "mcp", "shell", "image_generation"} <= kinds

    for kind in kinds:
        try:
            read_tools("tools", [{"type": kind, "tools": []}], NOTHING)
        except MeteringError:
            continue
        assert kind in ("function", "custom", "namespace")
