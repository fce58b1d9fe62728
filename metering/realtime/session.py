"""What of a realtime session's settings decides what it can cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from metering.realtime.fields import LIMITS, limit_of


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Of one session.

    Attributes:
        limit: Output tokens of a response that says nothing else; None for no limit.
        is_alone: Whether OpenAI begins responses by itself when it has heard somebody.
        has_mcp: Whether it does so when an MCP server has answered.
        transcript: The model that writes down what is heard, and its prompt's bytes.
    """

    limit: int | None = None
    is_alone: bool = True  # Until the session says otherwise: turn detection is on by default.
    has_mcp: bool = False
    transcript: tuple[str, int] | None = None

    def updated(self, session: Mapping[str, Any]) -> Settings:
        """After a `session.update`, or as `session.created` and `session.updated` tell it."""
        changed = self
        limit = limit_of(session)
        if limit is not None:
            changed = replace(changed, limit=limit if isinstance(limit, int) else None)
        heard = _heard(session)
        if "turn_detection" in heard:
            changed = replace(changed, is_alone=_is_alone(heard["turn_detection"]))
        if "transcription" in heard:
            changed = replace(changed, transcript=_transcript(heard["transcription"]))
        if isinstance(session.get("tools"), list):
            changed = replace(changed, has_mcp=_has_mcp(session["tools"]))
        return changed

    def or_worse(self, asked: Settings) -> Settings:
        """What it may be while an update is under way: the dearer of before and after."""
        limits = (self.limit, asked.limit)
        return Settings(
            limit=None if None in limits else max(self.limit or 0, asked.limit or 0),
            is_alone=self.is_alone or asked.is_alone,
            has_mcp=self.has_mcp or asked.has_mcp,
            transcript=asked.transcript or self.transcript,
        )


def limited(session: dict[str, Any], limit: int, *, is_beta: bool) -> None:
    """Write an output limit into a `session.update` that has none, or asks for none."""
    for name in LIMITS:
        if isinstance(session.get(name), int):
            return
    for name in LIMITS:
        session.pop(name, None)
    session[LIMITS[is_beta]] = limit


def _heard(session: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of what is heard, by their names of today."""
    audio = session.get("audio")
    heard = audio.get("input") if isinstance(audio, Mapping) else None
    found = dict(heard) if isinstance(heard, Mapping) else {}
    for old, new in (
        ("turn_detection", "turn_detection"),
        ("input_audio_transcription", "transcription"),
    ):
        if old in session:
            found[new] = session[old]
    return found


def _is_alone(detection: Any) -> bool:
    return isinstance(detection, Mapping) and detection.get("create_response") is not False


def _transcript(transcription: Any) -> tuple[str, int] | None:
    model = transcription.get("model") if isinstance(transcription, Mapping) else None
    if not isinstance(model, str):
        return None
    prompt = [transcription.get(name) or "" for name in ("prompt", "keywords", "languages")]
    return model, sum(len(str(part).encode()) for part in prompt)


def _has_mcp(tools: Any) -> bool:
    return any(isinstance(tool, Mapping) and tool.get("type") == "mcp" for tool in tools)
