"""
The tools of a response: those that the app runs are bounded by their bytes, OpenAI's are not.

A tool of OpenAI's lets the model read and write again after each use, so it is bounded by
the model's whole input for each turn, and by `max_tool_calls`, which is written into the body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metering.chat.checks import shallow, table, wrong
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.responses.switches import Allowed, needs
from metering.usage import Unit

# How often a response may use OpenAI's tools when the call does not say.
DEFAULT_TOOL_CALLS = 4
MOST_TOOL_CALLS = 128

# One search may put several queries (`action.queries`), and nobody says that they are
# billed as one.
SEARCHES_A_CALL = 8

_OWN = frozenset({"function", "custom"})

# OpenAI runs these and bills each use.
_BILLED = {
    "web_search": Unit.WEB_SEARCHES,
    "web_search_2025_08_26": Unit.WEB_SEARCHES,
    "file_search": Unit.FILE_SEARCHES,
    "code_interpreter": Unit.CONTAINERS,
}

# Their uses cost nothing, but what OpenAI tells the model about them is not in the body.
_DESCRIBED_BY_OPENAI = frozenset(
    {"apply_patch", "computer", "computer_use_preview", "local_shell", "shell", "tool_search"}
)

_REFUSED = {
    "image_generation": "its images are billed with the prices of another model",
    "programmatic_tool_calling": "what its programs use has no published price",
    "web_search_preview": "its searches have other prices; use web_search",
    "web_search_preview_2025_03_11": "its searches have other prices; use web_search",
}


def read_tools(name: str, value: Any, allowed: Allowed) -> None:
    """
    Check every tool that a call names.

    Raises:
        BodyNotUnderstood: It is no list of tools.
        CostNotBounded: One is not switched on, not priced, or not known.
    """
    if not isinstance(value, list):
        raise wrong(name, value, "a list of tools")
    for place, tool in enumerate(value):
        _read_tool(f"{name}[{place}]", tool, allowed)


def _read_tool(where: str, tool: Any, allowed: Allowed) -> None:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        raise BodyNotUnderstood(f"{where} must be a tool with a type", where)
    shallow(where, tool)
    if kind in _OWN:
        return
    if kind == "namespace":
        _read_namespace(where, tool)
    elif kind == "mcp":
        needs("mcp", f"{where}.type", "what another server answers is not in the body", allowed)
    elif kind in _BILLED or kind in _DESCRIBED_BY_OPENAI:
        needs("hosted_tools", f"{where}.type", "OpenAI runs it and bills what it reads", allowed)
        _CHECKS.get(kind, _anything)(where, tool, allowed)
    else:
        why = _REFUSED.get(kind, "only tools that your own app runs are bounded")
        raise CostNotBounded(f"{where}.type", why)


def _anything(where: str, tool: Mapping[str, Any], allowed: Allowed) -> None:
    pass


def _read_namespace(where: str, tool: Mapping[str, Any]) -> None:
    tools = tool.get("tools")
    for inner in tools if isinstance(tools, list) else (None,):
        kind = inner.get("type") if isinstance(inner, dict) else None
        if not isinstance(kind, str) or kind not in _OWN:
            raise CostNotBounded(f"{where}.tools", "only function and custom tools may be in it")


def _read_file_search(where: str, tool: Mapping[str, Any], allowed: Allowed) -> None:
    name = f"{where}.vector_store_ids"
    needs("vector_stores", name, "what is found is not in the body", allowed)


def _read_code_interpreter(where: str, tool: Mapping[str, Any], allowed: Allowed) -> None:
    name, container = f"{where}.container", tool.get("container")
    if isinstance(container, str):
        needs("containers", name, "it names a container that exists already", allowed)
        return
    options = table(name, container)
    if options.get("file_ids"):
        needs("files", f"{name}.file_ids", "what the files hold is not in the body", allowed)
    if options.get("memory_limit") not in (None, "1g"):
        raise CostNotBounded(f"{name}.memory_limit", "only containers of 1g have a price")
    for key in options:
        if key not in ("type", "file_ids", "memory_limit", "network_policy"):
            raise CostNotBounded(f"{name}.{key[:64]}", "is not a field we know")


def _read_shell(where: str, tool: Mapping[str, Any], allowed: Allowed) -> None:
    environment = tool.get("environment")
    if environment is None or table(f"{where}.environment", environment).get("type") != "local":
        raise CostNotBounded(f"{where}.environment", "only a local shell, run by your own app")
    if environment.get("skills"):
        raise CostNotBounded(f"{where}.environment.skills", "what a skill holds is not bounded")


_CHECKS = {
    "file_search": _read_file_search,
    "code_interpreter": _read_code_interpreter,
    "shell": _read_shell,
}


def run_by_openai(fields: Mapping[str, Any]) -> bool:
    """Whether a checked call names a tool that is not bounded by the bytes of the body."""
    return any(kind not in _OWN and kind != "namespace" for kind in _kinds(fields))


def billed_units(fields: Mapping[str, Any]) -> dict[Unit, str]:
    """The units that the tools of a checked call are billed in; unit → the tool."""
    return {_BILLED[kind]: kind for kind in _kinds(fields) if kind in _BILLED}


def _kinds(fields: Mapping[str, Any]) -> Iterator[str]:
    items = fields.get("input")
    listed = [fields, *(items if isinstance(items, list) else ())]
    for one in listed:
        tools = one.get("tools") if isinstance(one, dict) else None
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("type"), str):
                yield tool["type"]
