"""What is left of a key's limits, in the headers and the format of OpenAI's."""

from __future__ import annotations

from storage.limits import Rates

Headers = list[tuple[bytes, bytes]]


def rate_headers(rates: Rates | None) -> Headers:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, for the limits there are."""
    headers: Headers = []
    for noun, rate in (("requests", rates and rates.requests), ("tokens", rates and rates.tokens)):
        if rate:
            headers += [
                (f"x-ratelimit-limit-{noun}".encode(), b"%d" % rate.limit),
                (f"x-ratelimit-remaining-{noun}".encode(), b"%d" % rate.remaining),
                (f"x-ratelimit-reset-{noun}".encode(), duration(rate.reset_ms).encode()),
            ]
    return headers


def duration(ms: int) -> str:
    """Milliseconds as OpenAI writes them: `20ms`, `1s`, `8.64s`, `6m0s`."""
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    seconds = f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{seconds}" if minutes else seconds
