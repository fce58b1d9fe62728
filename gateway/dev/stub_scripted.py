"""Scripted: how a test tells the stub OpenAI what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.dev.stub_script import Gate, Script


class Scripted:
    """
    What to do with the calls that come.

    Each word holds for every call from then on, until it is said otherwise; words add up.
    """

    def __init__(self) -> None:
        self._script = Script()
        self._failures: list[Script] = []

    def next_script(self) -> Script:
        """The script for the call that has just come."""
        return self._failures.pop(0) if self._failures else self._script

    def says(self, text: str) -> None:
        """Answer with this text, in one piece."""
        self.changes(pieces=(text,), tool=None)

    def streams(self, *pieces: str) -> None:
        """Answer with these pieces; each is one chunk of a stream."""
        self.changes(pieces=pieces, tool=None)

    def calls_tool(self, name: str, arguments: str) -> None:
        """Answer with a call of this function; the arguments are JSON text."""
        self.changes(tool=(name, arguments))

    def fails(
        self,
        status: int,
        body: bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        code: str | None = None,
        times: int | None = None,
    ) -> None:
        """
        Answer with an error.

        Args:
            body: Else what OpenAI says with this status (and code).
            times: Only to the next so many calls.
        """
        pairs = tuple((name.encode(), text.encode()) for name, text in (headers or {}).items())
        failure = replace(
            self._script,
            status=status,
            body=json.dumps(body).encode() if isinstance(body, Mapping) else body,
            headers=pairs,
            code=code,
        )
        if times is None:
            self._script = failure
        else:
            self._failures += [failure] * times

    def breaks_after(self, chunks: int, *, billed: bool = True) -> None:
        """Close the connection after so many chunks of text; billed is what was written."""
        self.changes(breaks_after=chunks, bills_cut=billed)

    def hangs(self, *, billed: bool = True) -> None:
        """Take calls and never answer."""
        self.changes(hangs=True, bills_cut=billed)

    def closes(self, *, billed: bool = True) -> None:
        """Take calls and close the connection."""
        self.changes(closes=True, bills_cut=billed)

    def without_usage(self) -> None:
        """Do not report usage. It is billed all the same."""
        self.changes(reports_usage=False)

    def with_usage(self, usage: Mapping[str, Any]) -> None:
        """Report and bill this usage object, whatever was written."""
        self.changes(usage=usage)

    def worst_case(self) -> None:
        """Bill the most output that each call allows, as reasoning."""
        self.changes(worst=True)

    def waits_between_chunks(self, gate: Gate) -> None:
        """Wait at the gate before each chunk of text."""
        self.changes(between=gate)

    def holds_replies(self, gate: Gate) -> None:
        """Wait at the gate before each reply."""
        self.changes(gate=gate)

    def changes(self, **changes: Any) -> None:
        """Change anything else that a `Script` has."""
        self._script = replace(self._script, **changes)

    def resets(self) -> None:
        """Answer with the friendly sentence again; requests and bills are kept."""
        self._script = Script()
        self._failures.clear()

    @property
    def gate(self) -> Gate | None:
        """Where each reply waits; setting it is `holds_replies`."""
        return self._script.gate

    @gate.setter
    def gate(self, gate: Gate | None) -> None:
        self.changes(gate=gate)
