"""Bills: what the stub OpenAI has charged our account, to hold the gateway's figures against."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bill:
    """
    One call that OpenAI wants to be paid for.

    `usage` is OpenAI's usage object, whether the reply told it or not; `units` is the same
    in the units of the rate card, each thing counted once (metering/usage.py names them).
    `transaction` is the x-client-request-id that came with the call.
    """

    transaction: str
    model: str
    tier: str
    usage: dict[str, Any]
    streamed: bool
    cut: bool
    at: str
    endpoint: str = "chat.completions"
    units: dict[str, int] = field(default_factory=dict)

    @property
    def input_tokens(self) -> int:
        """All tokens that went in."""
        return int(self.usage["prompt_tokens"])

    @property
    def output_tokens(self) -> int:
        """All tokens that came out, reasoning included."""
        return int(self.usage["completion_tokens"])


class Bills:
    """All bills, in memory and, when a file is named, one JSON line each."""

    def __init__(self, path: Path | None = None) -> None:
        self.all: list[Bill] = []
        # Unbuffered, so that a bill is on the file when `add` returns.
        self._file = (
            None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        )

    def add(
        self,
        *,
        transaction: str,
        model: str,
        tier: str,
        usage: dict[str, Any],
        streamed: bool,
        cut: bool = False,
        endpoint: str = "chat.completions",
        units: dict[str, int] | None = None,
    ) -> None:
        """Charge for one call."""
        at = datetime.now(UTC).isoformat()
        bill = Bill(transaction, model, tier, usage, streamed, cut, at, endpoint, units or {})
        self.all.append(bill)
        if self._file is not None:
            os.write(self._file, json.dumps(asdict(bill)).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def as_json(bills: list[Bill]) -> bytes:
    """What `GET /stub/billed` answers."""
    return json.dumps({"billed": [asdict(bill) for bill in bills]}).encode()


def read(path: Path) -> list[Bill]:
    """The bills of a file."""
    return [Bill(**json.loads(line)) for line in path.read_text().splitlines()]
