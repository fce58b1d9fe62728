"""The meter of `POST /v1/chat/completions`."""

from __future__ import annotations

from metering.call import Call
from metering.chat.fields import read_fields
from metering.chat.media import file_tokens, heard_tokens, media_of, without_media
from metering.chat.prompt import estimated_tokens, most_tokens
from metering.chat.reply import ChatReader
from metering.chat.searches import FOUND_TOKENS, searches
from metering.errors import CostNotBounded
from metering.meters.meter import FRAMING_TOKENS, NOTHING, Ceiling, OutputLimits, PlainMeter
from metering.prices import DEFAULT_TIER, TIER_NAMES, ModelRow, Prices
from metering.usage import Unit, Usage


class ChatCompletions(PlainMeter):
    """Bounds a chat completion by its bytes and its output limit, and reads its reply."""

    family = "chat"
    fits = True

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than its bytes tell, and is not switched on
                for the business, or is unknown.
        """
        read_fields(call.fields, call.allowed)

    def tier(self, call: Call) -> str:
        """The tier that is asked for; `auto` is our account's own setting, so it is default."""
        tier = call.fields.get("service_tier") or DEFAULT_TIER
        return TIER_NAMES.get(tier, tier)

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """
        The limit in the body, else the default; never more than the model can give.

        OpenAI takes no limit beside a prediction, so without one it is all the model gives.
        """
        limit: int | None = call.fields.get("max_completion_tokens")
        if limit is None:
            limit = call.fields.get("max_tokens")
        if limit is None:
            limit = limits.most if _is_unlimited(call) else limits.default
        return min(limit, limits.most)

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """
        Write the output limit, the tier, `store` and, for a stream, `include_usage`.

        `metadata` is for us (its `feature`): OpenAI takes it only with `store`, so without
        that it is not forwarded. The limit goes where the caller's own one is: some servers
        know only the old name.
        """
        fields = call.fields
        fields["service_tier"] = self.tier(call)
        call.stores = fields.get("store") is True
        if not call.stores:
            fields["store"] = False
            fields.pop("metadata", None)
        old = fields.get("max_tokens") is not None
        if old:
            fields["max_tokens"] = output_limit
        if fields.get("max_completion_tokens") is not None or not (old or _is_unlimited(call)):
            fields["max_completion_tokens"] = output_limit
        if call.streams:
            fields["stream_options"] = {
                **(fields.get("stream_options") or {}),
                "include_usage": True,
            }

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use.

        A token of text or speech covers at least one byte, so the body's bytes bound them,
        and each image adds what one can cost; what is not in the body is bounded by what
        the model reads. The reply is taken at its limit, once for each choice.

        Raises:
            CostNotBounded: The row has no price for speech or for searches.
        """
        media, prices = media_of(call.fields, row.id), _prices(self, call, row)
        found = searches(call, row.id)
        if found and "hosted_tools" not in call.allowed:
            raise CostNotBounded("model", f"{row.id} searches the web, which is not switched on")
        input_tokens = call.body_bytes + FRAMING_TOKENS
        if found or not media.bounded:
            input_tokens = row.max_input
        elif media.images or media.has_audio:
            input_tokens = min(input_tokens + media.images, row.max_input)
        return Ceiling(
            input_tokens=input_tokens,
            output_limit=output_limit,
            choices=call.fields.get("n") or 1,
            extra_output=_predicted(call),
            others=Usage({_priced("web_search_options", Unit.WEB_SEARCHES, prices, row): found})
            if found
            else NOTHING,
            input_unit=_priced("input_audio", Unit.AUDIO_INPUT, prices, row)
            if media.has_audio
            else Unit.INPUT,
            output_unit=_spoken_unit(prices, row) if _speaks(call) else Unit.OUTPUT,
            output_is_fixed=_is_unlimited(call),
            rough_input=media.rough + max(0, call.body_bytes - media.characters) // 4,
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the input tokens, tighter than by bytes; blocks."""
        media = media_of(call.fields, row.id)
        if searches(call, row.id) or not media.bounded:
            return row.max_input
        counted = most_tokens(without_media(call.fields), row.encoding)
        text = min(counted + file_tokens(call.fields, row.encoding), call.body_bytes)
        return text + media.images + heard_tokens(call.fields) + FRAMING_TOKENS

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The prompt; blocks."""
        unit = Unit.AUDIO_INPUT if media_of(call.fields, row.id).has_audio else Unit.INPUT
        return Usage({unit: self.count_input(call, row)})

    def asks_for_usage(self, call: Call) -> bool:
        """Whether the caller set `stream_options.include_usage`; ask before `prepare`."""
        options = call.fields.get("stream_options") or {}
        return options.get("include_usage") is True

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> ChatReader:
        """A reader for the reply of this call."""
        found = searches(call, row.id)
        return ChatReader(
            call,
            encoding=row.encoding,
            asked_for_usage=asked_for_usage,
            prices=_prices(self, call, row),
            counted=lambda: _counted(call, row),
            # One that is not reported is charged once, however many choices there are.
            searches=1 if found else 0,
        )


def _counted(call: Call, row: ModelRow) -> Usage:
    """The prompt by the cookbook's formula, with what is not text at its most; blocks."""
    media = media_of(call.fields, row.id)
    if not media.bounded:
        return Usage({Unit.INPUT: row.max_input})
    text = estimated_tokens(without_media(call.fields), row.encoding)
    text += file_tokens(call.fields, row.encoding)
    found = FOUND_TOKENS if searches(call, row.id) else 0
    return Usage(
        {
            Unit.INPUT: text + media.images + found,
            Unit.AUDIO_INPUT: heard_tokens(call.fields),
        }
    )


def _prices(meter: ChatCompletions, call: Call, row: ModelRow) -> Prices:
    return row.tiers.get(meter.tier(call)) or row.tiers[DEFAULT_TIER]


def _priced(part: str, unit: Unit, prices: Prices, row: ModelRow) -> Unit:
    if unit not in prices:
        raise CostNotBounded(part, f"{row.id} has no price for {unit.value}")
    return unit


def _speaks(call: Call) -> bool:
    return "audio" in (call.fields.get("modalities") or ()) or call.fields.get("audio") is not None


def _spoken_unit(prices: Prices, row: ModelRow) -> Unit:
    """The dearer of what a reply with speech can be: its words, too, are written down."""
    spoken = _priced("audio", Unit.AUDIO_OUTPUT, prices, row)
    return max(spoken, Unit.OUTPUT, key=lambda unit: prices[unit])


def _is_unlimited(call: Call) -> bool:
    """Whether no output limit may be written into the body."""
    fields = call.fields
    limits = (fields.get("max_completion_tokens"), fields.get("max_tokens"))
    return fields.get("prediction") is not None and limits == (None, None)


def _predicted(call: Call) -> int:
    """The bytes of a prediction: what of it is rejected is billed as output."""
    prediction = call.fields.get("prediction")
    content = prediction.get("content") if prediction else None
    if isinstance(content, str):
        return len(content.encode())
    texts = [part.get("text") for part in content or ()]
    return sum(len(text.encode()) for text in texts if isinstance(text, str))
