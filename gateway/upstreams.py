"""
Which upstream a business calls with: the shared one, or one of its own.

There is never a fall-back from one to the other: a business with its own key would read and
leave objects among those of all others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gateway.errors import UpstreamNotConfigured
from gateway.upstream import Upstream, UpstreamEndpoint
from storage.keys import KeyHolder

log = logging.getLogger(__name__)

ENDPOINTS_MOST = 1000
"""Some have an id in their path; what is made once for each must not grow without end."""


class Upstreams:
    """
    The upstreams of the settings, by name.

    Args:
        shared: For every business that names none.
        own: Name → upstream.
    """

    def __init__(self, shared: Upstream, own: Mapping[str, Upstream] | None = None) -> None:
        self.shared = shared
        self._own = dict(own or {})
        self._endpoints: dict[tuple[str | None, str, str], UpstreamEndpoint] = {}

    def of(self, holder: KeyHolder) -> Upstream:
        """
        The upstream of whoever calls.

        Raises:
            UpstreamNotConfigured: The settings do not have the one it names.
        """
        if holder.upstream is None:
            return self.shared
        found = self._own.get(holder.upstream)
        if found is None:
            log.error(
                "upstream_not_configured",
                extra={"upstream": holder.upstream, "business": holder.business},
            )
            raise UpstreamNotConfigured(
                "this business has an upstream key of its own, and it is not set up here; "
                "the operator has been told"
            )
        return found

    def endpoint(self, holder: KeyHolder, method: str, path: str) -> UpstreamEndpoint:
        """What of the requests to one endpoint never changes; made once for each upstream."""
        key = (holder.upstream, method, path)
        found = self._endpoints.get(key)
        if found is None:
            if len(self._endpoints) >= ENDPOINTS_MOST:
                self._endpoints.clear()
            found = self._endpoints[key] = self.of(holder).endpoint(method, path)
        return found

    async def close(self) -> None:
        """Close them all; calls that still run are cut."""
        for upstream in (self.shared, *self._own.values()):
            await upstream.close()
