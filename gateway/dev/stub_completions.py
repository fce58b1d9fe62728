"""`POST /v1/completions` of the stub OpenAI: the older kind, with prompts and `best_of`."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.dev import stub_replies as replies
from gateway.dev.stub_asked import Asked
from gateway.dev.stub_generation import Generation, until_stop, within
from gateway.dev.stub_json import answer_json, script_of
from gateway.dev.stub_refused import Refused, read_object, unknown_model
from gateway.dev.stub_script import Script
from gateway.dev.stub_server import close_connection
from gateway.dev.stub_units import units_of
from metering import tokens

MODELS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002", "ft:")
DEFAULT_LIMIT = 16
NO_PROMPT = "<|endoftext|>"


async def completions(asked: Asked) -> None:
    """Answer one call."""
    fields = read_object(asked.request.body)
    if not fields["model"].startswith(MODELS):
        raise unknown_model(fields["model"])
    if fields.get("stream") and (fields.get("best_of") or 1) > 1:
        raise Refused(400, "Results cannot be streamed with best_of.", param="best_of")
    call = await asyncio.to_thread(_read, asked, fields)
    script = call.script
    if fields.get("stream") and script.status == 200 and not (script.hangs or script.closes):
        await call.stream()
    else:
        await answer_json(asked, script, body=call.body(), bill=call.bill)


@dataclass(frozen=True)
class Completion:
    """
    One call on its way.

    `echoed` has, for each prompt, what is said again before the reply; each is answered
    `shown` times, and as often as the generation says it is billed.
    """

    asked: Asked
    fields: dict[str, Any]
    script: Script
    generation: Generation
    echoed: tuple[str, ...]
    shown: int

    def bill(self, cut: bool, chunks: int | None = None) -> None:
        """Charge for all of it, or for what was written when it was cut."""
        usage = self.generation.usage(chunks if cut else None)
        self.asked.bills.add(
            transaction=self.asked.transaction,
            model=self._model,
            tier="default",
            usage=usage,
            streamed=bool(self.fields.get("stream")),
            cut=cut,
            endpoint="completions",
            units=units_of(usage),
        )

    def body(self) -> bytes:
        """All of it, as one object."""
        reason = self.generation.finish_reason
        choices = [
            _choice(index, self._echo_of(index) + self.generation.text, reason)
            for index in range(len(self.echoed) * self.shown)
        ]
        body = self._common | {"choices": choices}
        if self.script.reports_usage:
            body["usage"] = self.generation.usage()
        return json.dumps(body).encode()

    async def stream(self) -> None:
        """Send event by event; it is billed after the last text, read or not."""
        send, script = self.asked.send, self.script
        headers = replies.headers(b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for sent, event in enumerate(self._texts()):
            if sent == script.breaks_after:
                if script.bills_cut:
                    self.bill(True, sent)
                close_connection(self.asked.scope)
                return
            if script.between is not None:
                await script.between.wait()
            await asyncio.sleep(script.delay_s)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        self.bill(False)
        last = self._closing() + (replies.DONE if script.says_done else b"")
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def _texts(self) -> Iterator[bytes]:
        choices = range(len(self.echoed) * self.shown)
        for number, piece in enumerate(self.generation.pieces):
            for index in choices:
                text = piece if number else self._echo_of(index) + piece
                yield self._event([_choice(index, text, None)])

    def _closing(self) -> bytes:
        reason = self.generation.finish_reason
        choices = range(len(self.echoed) * self.shown)
        events = [self._event([_choice(index, "", reason)]) for index in choices]
        if self._with_usage and self.script.reports_usage:
            events.append(self._event([], self.generation.usage()))
        return b"".join(events)

    def _event(self, choices: list[Any], usage: dict[str, Any] | None = None) -> bytes:
        chunk = self._common | {"choices": choices}
        if self._with_usage:
            chunk["usage"] = usage
        return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"

    def _echo_of(self, index: int) -> str:
        return self.echoed[index // self.shown]

    @property
    def _with_usage(self) -> bool:
        return bool((self.fields.get("stream_options") or {}).get("include_usage"))

    @property
    def _common(self) -> dict[str, Any]:
        return {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self._model,
        }

    @property
    def _model(self) -> str:
        return self.script.model or str(self.fields["model"])


def _read(asked: Asked, fields: dict[str, Any]) -> Completion:
    encoding = tokens.encoding_for(fields["model"])
    prompt = fields.get("prompt")
    prompt = NO_PROMPT if prompt is None else prompt
    one = isinstance(prompt, str) or type(prompt[0]) is int
    prompts = [prompt] if one else prompt
    script = script_of(asked, prompt)
    limit = fields.get("max_tokens")
    limit = DEFAULT_LIMIT if limit is None else limit
    wanted = until_stop(script.pieces, fields.get("stop"))
    pieces, counts = within(wanted, limit, encoding)
    shown = fields.get("n") or 1
    read = [_tokens(text, encoding, worst=script.worst) for text in prompts]
    suffix = _tokens(fields.get("suffix") or "", encoding, worst=False)
    generation = Generation(
        n=len(prompts) * max(shown, fields.get("best_of") or 1),
        pieces=pieces,
        tokens=counts,
        finish_reason="stop" if pieces == wanted else "length",
        prompt_tokens=sum(read) + suffix,
        reasoning_tokens=limit - sum(counts) if script.worst else 0,
        script=script,
    )
    echoed = [text if fields.get("echo") and isinstance(text, str) else "" for text in prompts]
    return Completion(asked, fields, script, generation, tuple(echoed), shown)


def _tokens(prompt: str | list[int], encoding: str, *, worst: bool) -> int:
    """What a prompt is billed as; at the worst a token for each byte of it, and one more."""
    if worst:
        return 1 + len(prompt.encode() if isinstance(prompt, str) else prompt)
    return tokens.count(prompt, encoding) if isinstance(prompt, str) else len(prompt)


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
