"""What every reader of a text reply knows: who answered, what went wrong, what was seen."""

from __future__ import annotations

from typing import Any, Literal

from metering.call import Call
from metering.text_seen import TextSeen
from metering.usage import Usage

_CODE_CHARACTERS = 64


class ReplyNamed:
    """What every `UsageReader` can be asked for besides the usage."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.tier: str | None = None
        self.upstream_id: str | None = None
        self.saw_done = False
        self.error: str | None = None
        self.flagged: list[str] = []

    def _take_names(self, *, id: Any, model: Any, tier: Any) -> None:
        if isinstance(id, str):
            self.upstream_id = id
        if isinstance(model, str):
            self.model = model
        if isinstance(tier, str):
            self.tier = tier

    def _take_error(self, error: Any) -> None:
        if error is None:
            return
        code = error.get("code") or error.get("type") if isinstance(error, dict) else None
        # The text of the error stays with the caller: it may quote the prompt.
        self.error = code[:_CODE_CHARACTERS] if isinstance(code, str) else "upstream_error"


class ReplySeen(ReplyNamed):
    """The part of a `UsageReader` that does not depend on the shape of the reply."""

    def __init__(self, call: Call, text: TextSeen, *, encoding: str) -> None:
        super().__init__()
        self._call = call
        self._encoding = encoding
        self._text = text
        self._reported: Usage | None = None

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from; an error that came before any text used nothing."""
        if self._reported is not None:
            return "reported"
        if self._text.empty or (self.error and not self._text.so_far()):
            return "none"
        return "counted"

    def so_far(self) -> int:
        """About how many output tokens were seen: a quarter of the text's bytes."""
        return self._text.so_far()
