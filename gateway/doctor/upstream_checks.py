"""Whether OpenAI takes our key."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.doctor.finding import Finding, ok, unsure, wrong
from gateway.upstream import Upstream
from gateway.upstream_errors import UpstreamError

WITHIN_S = 10.0  # Nobody waits for a doctor as long as for a reasoning model.
BODY_MOST_BYTES = 8 * 2**20


async def check_upstream(base_url: str, api_key: str) -> Finding:
    """Ask for the list of models, which costs nothing."""
    upstream = Upstream(
        base_url,
        api_key,
        connect_timeout_s=WITHIN_S,
        first_byte_timeout_s=WITHIN_S,
        total_timeout_s=WITHIN_S,
        max_connections=1,
    )
    host = urlsplit(base_url).hostname
    try:
        models = upstream.endpoint("GET", "/models")
        async with await upstream.open(models, b"", transaction_id="gateway-doctor") as reply:
            await reply.read(BODY_MOST_BYTES)
            return key_judged(f"{host}", reply.status)
    except UpstreamError as error:
        return wrong("openai", f"{host} gives no answer: {error}",
                     "look at the network, the proxy and openai.base_url")  # fmt: skip
    finally:
        await upstream.close()


def key_judged(host: str, status: int) -> Finding:
    """What the status of `GET /models` says of the key."""
    if status == 200:
        return ok("openai", f"{host} takes our key")
    if status in (401, 403):
        return wrong("openai", f"{host} refuses our key ({status})",
                     "make a key in OpenAI's dashboard and set openai.api_key")  # fmt: skip
    return unsure("openai", f"{host} answered {status} to GET /models",
                  "try again; look at OpenAI's status page")  # fmt: skip
