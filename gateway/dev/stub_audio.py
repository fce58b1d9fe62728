"""The stub's sound: `POST /v1/audio/speech`, `/transcriptions` and `/translations`."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from gateway.dev import stub_sounds
from gateway.dev.stub_asked import Answer, Asked
from gateway.dev.stub_media import MediaReply, event, read_json, read_parts
from metering import tokens

TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
PIECE_BYTES = 4096
AUDIO_TOKENS_PER_S = 10
SPEECH_TOKENS_PER_MINUTE = 1250


async def speech(asked: Asked) -> None:
    """Speak, as bytes or as events."""
    fields = read_json(asked.request)
    as_events = fields.get("stream_format") == "sse"
    model, kind = fields["model"], fields.get("response_format") or "mp3"
    reply = MediaReply(asked, endpoint="audio.speech", model=model, streamed=as_events)
    if not await reply.begins():
        return
    text = str(fields["input"])
    milliseconds = len(text) * 1000 // 15 + 1
    if reply.script.seconds is not None:
        milliseconds = int(reply.script.seconds * 1000)
    sound, milliseconds = stub_sounds.speech(kind, milliseconds)
    usage = speech_bill(fields, milliseconds, worst=reply.script.worst)
    units = speech_units(fields, usage)
    if await reply.ends_early(usage, units):
        return
    pieces = [sound[at : at + PIECE_BYTES] for at in range(0, len(sound), PIECE_BYTES)]
    if not as_events:
        await reply.stream(pieces, TYPES[kind], usage, units)
        return
    deltas = [
        event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
        for piece in pieces
    ]
    told = {"usage": usage} if reply.script.reports_usage else {}
    last = event({"type": "speech.audio.done", **told})
    await reply.stream(deltas, b"text/event-stream; charset=utf-8", usage, units, last)


def speech_bill(fields: Mapping[str, Any], milliseconds: int, *, worst: bool) -> dict[str, int]:
    """OpenAI's usage object of speech of this length; the worst is as slow as anything is read."""
    text, instructions = str(fields["input"]), str(fields.get("instructions") or "")
    read = tokens.count(text, "o200k_base") + tokens.count(instructions, "o200k_base")
    if worst:
        read = len(text.encode()) + len(instructions.encode())
        slow = min(1.0, fields.get("speed") or 1.0)
        milliseconds = int((400 * len(text.encode()) + 20_000) / slow)
    spoken = -(-milliseconds * SPEECH_TOKENS_PER_MINUTE // 60_000)
    return {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}


def speech_units(fields: Mapping[str, Any], usage: Mapping[str, int]) -> dict[str, int]:
    """tts-1 is billed by the character, the others by the token."""
    if str(fields["model"]).startswith("tts-1"):
        return {"characters": len(str(fields["input"]))}
    return {"input": usage["input_tokens"], "audio_output": usage["output_tokens"]}


async def transcriptions(asked: Asked) -> None:
    """Write down what an uploaded sound says."""
    await _write_down(asked, "audio.transcriptions")


async def translations(asked: Asked) -> None:
    """The same in English."""
    await _write_down(asked, "audio.translations")


async def _write_down(asked: Asked, endpoint: str) -> None:
    parts = read_parts(asked.request)
    fields, model = parts.fields, parts.fields["model"]
    streams = fields.get("stream") == "true" and model != "whisper-1"
    reply = MediaReply(asked, endpoint=endpoint, model=model, streamed=streams)
    if not await reply.begins():
        return
    script = reply.script
    seconds = script.seconds
    if seconds is None:
        seconds = length_s(parts.files[0][1])
    if script.worst:
        seconds = len(parts.files[0][1]) / 750
        seconds = min(seconds, 1500.0) if model.startswith("gpt-4o") else seconds
    text = "".join(script.pieces)
    usage = transcription_bill(fields, text, seconds, worst=script.worst)
    if script.usage is not None:
        usage = dict(script.usage)
    units = transcription_units(usage)
    if await reply.ends_early(usage, units):
        return
    told = {"usage": usage} if script.reports_usage else {}
    if endpoint == "audio.translations":
        told = {}  # The JSON of a translation has none; the verbose one has the duration.
    if streams:
        deltas = [event({"type": "transcript.text.delta", "delta": one}) for one in script.pieces]
        last = event({"type": "transcript.text.done", "text": text, **told})
        last += b"data: [DONE]\n\n" if script.says_done else b""
        await reply.stream(deltas, b"text/event-stream; charset=utf-8", usage, units, last)
        return
    body, content_type = _written(fields.get("response_format") or "json", text, seconds, told)
    reply.bill(usage, units, cut=script.breaks_after is not None)
    await reply.whole(script.body or body, content_type=content_type)


def length_s(sound: bytes) -> float:
    """The length of a WAV by its samples; else as if it had 32 kbit/s."""
    if sound[:4] == b"RIFF" and len(sound) >= 44:
        per_s: int = struct.unpack_from("<I", sound, 28)[0]
        return (len(sound) - 44) / per_s
    return len(sound) / 4000


def transcription_bill(
    fields: Mapping[str, Any], text: str, seconds: float, *, worst: bool
) -> dict[str, Any]:
    """OpenAI's usage object: seconds for whisper-1, tokens for the others."""
    if fields["model"] == "whisper-1":
        return {"type": "duration", "seconds": int(-(-seconds // 1))}
    prompt = str(fields.get("prompt") or "")
    heard = int(-(-seconds * AUDIO_TOKENS_PER_S // 1))
    read, written = tokens.count(prompt, "o200k_base"), tokens.count(text, "o200k_base")
    if worst:
        extra = 10 * len(fields.get("known_speaker_references[]", ()))
        heard = int((seconds + extra) * AUDIO_TOKENS_PER_S * 1.5) + 1
        read, written = len(prompt.encode()), int(seconds * 8)
    return {
        "type": "tokens",
        "input_tokens": read + heard,
        "input_token_details": {"text_tokens": read, "audio_tokens": heard},
        "output_tokens": written,
        "total_tokens": read + heard + written,
    }


def transcription_units(usage: Mapping[str, Any]) -> dict[str, int]:
    """OpenAI's object in the units of the rate card."""
    if usage.get("type") == "duration":
        return {"audio_milliseconds": int(-(-usage["seconds"] * 1000 // 1))}
    heard = (usage.get("input_token_details") or {}).get("audio_tokens") or 0
    return {
        "input": usage["input_tokens"] - heard,
        "audio_input": heard,
        "output": usage["output_tokens"],
    }


def _written(kind: str, text: str, seconds: float, told: Mapping[str, Any]) -> tuple[bytes, bytes]:
    if kind in ("text", "srt", "vtt"):
        until = f"00:00:{int(seconds) % 60:02d}"
        subtitles = {
            "text": f"{text}\n",
            "srt": f"1\n00:00:00,000 --> {until},000\n{text}\n\n\n",
            "vtt": f"WEBVTT\n\n00:00.000 --> {until}.000\n{text}\n\n",
        }
        return subtitles[kind].encode(), b"text/plain; charset=utf-8"
    body: dict[str, Any] = {"text": text, **told}
    if kind in ("verbose_json", "diarized_json"):
        body |= {"task": "transcribe", "language": "english", "duration": seconds, "segments": []}
    return json.dumps(body).encode(), b"application/json"


ROUTES: dict[tuple[str, str], Answer] = {
    ("POST", "/v1/audio/speech"): speech,
    ("POST", "/v1/audio/transcriptions"): transcriptions,
    ("POST", "/v1/audio/translations"): translations,
}
