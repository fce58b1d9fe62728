"""Responses of the stub OpenAI that go on in the background, until they were asked for so often."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gateway.dev.stub_response_events import Response


class Job:
    """
    One response in the background: queued, in progress, ended; billed once, at its end.

    Args:
        polls: How often it is asked for until it ends; None: it never does.
        bill: Makes out the bill.
    """

    def __init__(self, response: Response, *, polls: int | None, bill: Callable[[], None]) -> None:
        self._response = response
        self._polls = polls
        self._bill = bill
        self._asked = 0
        self.status = "queued"

    def object(self) -> dict[str, Any]:
        """What it is now."""
        return self._response.object(self.status) | {"background": True}

    def poll(self) -> dict[str, Any]:
        """Asked for once more."""
        if self.status in ("queued", "in_progress"):
            self._asked += 1
            if self._polls is not None and self._asked >= self._polls:
                self.finish()
            else:
                self.status = "in_progress"
        return self.object()

    def finish(self) -> None:
        """It ends, and is billed."""
        if self.status in ("queued", "in_progress"):
            self.status = self._response.status
            self._bill()

    def cancel(self) -> dict[str, Any]:
        """It ends without a bill, and tells no usage."""
        if self.status in ("queued", "in_progress"):
            self.status = "cancelled"
        return self.object() | ({"usage": None} if self.status == "cancelled" else {})

    def as_json(self) -> bytes:
        """What it is now, as a reply."""
        return json.dumps(self.object()).encode()
