"""
Alerts to operators, as signed webhooks.

Source: Standard Webhooks specification, 1.0: webhook-id, webhook-timestamp, webhook-signature.
"""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
from standardwebhooks import Webhook as Signer

from gateway import notices
from gateway.telling import NotTold
from storage.deliveries import Notice

TIMEOUT_S = 15.0


class Webhook:
    """
    Where events are posted.

    Args:
        url: It may hold a password, so nothing that is stored names it.
        secret: whsec_ and base64.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._signer = Signer(secret)
        self._client = httpx2.AsyncClient(
            timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, notice: Notice) -> None:
        """
        Post the event; the id is the delivery's, so whoever gets it twice can tell.

        Raises:
            NotTold: The answer is not 2xx, or there is none.
        """
        body, now = notices.event(notice), datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": notice.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(notice.id, now, body),
        }
        try:
            # Its body is not read: nobody needs it, and it could be endless.
            async with self._client.stream(
                "POST", self._url, content=body, headers=headers
            ) as reply:
                status = reply.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NotTold(f"the webhook's server: {type(error).__name__}") from None
        if not 200 <= status < 300:
            raise NotTold(f"the webhook's server answered {status}")
