"""
What else a reply of /v1/responses makes: its items, and containers that its tools have run in.

Their ids stand in the items of the output, where only OpenAI writes, and never in a text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from metering.call import Call
from metering.sse import Events, data_of

_RUN_IN_CONTAINERS = frozenset({"code_interpreter", "shell", "local_shell"})
MOST = 1000


def runs_in_containers(call: Call) -> bool:
    """Whether a call lets OpenAI run tools that make containers."""
    tools = call.fields.get("tools")
    if not isinstance(tools, list):
        return False
    return any(isinstance(one, dict) and one.get("type") in _RUN_IN_CONTAINERS for one in tools)


class MadeWithin:
    """Collects id → kind from a reply, whole or in pieces."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._events = Events()

    def see_json(self, body: bytes) -> None:
        """Take a whole JSON reply."""
        output = _decoded(body).get("output")
        for item in output if isinstance(output, list) else ():
            self._see_item(item)

    def see_chunk(self, chunk: bytes) -> None:
        """Take a piece of a stream."""
        for event in self._events.feed(chunk):
            if b"response.output_item.done" in event:
                self._see_item(_decoded(data_of(event) or b"").get("item"))

    def _see_item(self, item: Any) -> None:
        if not isinstance(item, dict) or len(self.found) >= MOST:
            return
        for name, kind in (("id", "item"), ("container_id", "container")):
            id = item.get(name)
            if isinstance(id, str) and 0 < len(id) <= 200:
                self.found[id] = kind


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
