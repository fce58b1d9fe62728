"""
What a caller can be told instead of an answer; `error_replies.py` says how.

    GatewayError
    ├── NotAuthenticated        401
    ├── EndpointNotSupported    403   known to OpenAI, refused with the reason
    ├── EndpointNotAllowed      403   served, but not for this key
    ├── ModelNotAllowed         403
    ├── FeatureNotAllowed       403
    ├── PathUnknown             404
    ├── ModelUnknown            404   GET /v1/models/{model}
    ├── GenerationUnknown       404   GET /v1/generation
    ├── GenerationPending       404   the same, to be asked again
    ├── ObjectUnknown           404   it is not the caller's, or never was
    ├── MethodNotAllowed        405
    ├── BodyTooLarge            413
    ├── EncodingNotAccepted     415
    ├── UpgradeRefused          426
    ├── HeadTooLarge            431
    ├── RequestRefused          400   a header, body or limit that is not understood
    ├── FeatureLimitExceeded    400
    ├── KeyLimitExceeded        400   too large for its key, now and later
    ├── UpstreamRefusedOurKey   502   never the caller's fault
    ├── UpstreamMisbehaved      502
    ├── UpstreamAccountEmpty    503
    ├── UpstreamNotConfigured   503   the business's own one is not in the settings
    ├── PaymentsOff             404   nothing can be bought here
    ├── PaymentsUnavailable     502   the payment provider does not answer
    └── Overloaded              503

Errors of the floors below (`metering.errors`, `storage.errors`, `gateway.upstream_errors`)
stand in the same table.
"""

from __future__ import annotations

from typing import Any


class GatewayError(Exception):
    """A call ends here; the text is for the caller."""

    def __init__(
        self, message: str, *, param: str | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.metadata = metadata


class NotAuthenticated(GatewayError):
    """The key is missing, malformed, unknown, revoked or expired."""


class EndpointNotSupported(GatewayError):
    """OpenAI has this operation; the gateway refuses it."""


class EndpointNotAllowed(GatewayError):
    """The key's scopes do not list the endpoint."""


class ModelNotAllowed(GatewayError):
    """The model is priced, but not for this key or not here."""


class FeatureNotAllowed(GatewayError):
    """The feature has a price of its own, and the key does not list it."""


class PathUnknown(GatewayError):
    """Nobody knows this path."""


class ModelUnknown(GatewayError):
    """GET /v1/models/{model} asks for what is not priced or not allowed."""


class GenerationUnknown(GatewayError):
    """The business has no such call."""


class GenerationPending(GatewayError):
    """The call has not been settled yet."""


class ObjectUnknown(GatewayError):
    """
    An object of OpenAI's that this business does not have.

    Attributes:
        code: As OpenAI says it of an id that it does not know; often none.
    """

    def __init__(self, message: str, *, param: str | None, code: str | None) -> None:
        super().__init__(message, param=param)
        self.code = code


class MethodNotAllowed(GatewayError):
    """The path has other methods."""

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class BodyTooLarge(GatewayError):
    """The body passes `server.body_max_bytes`."""


class EncodingNotAccepted(GatewayError):
    """The body is compressed; its size could not be bounded."""


class UpgradeRefused(GatewayError):
    """A websocket that is not served."""


class HeadTooLarge(GatewayError):
    """The headers are longer than any caller's."""


class RequestRefused(GatewayError):
    """A header or the body is not what it must be."""


class FeatureLimitExceeded(GatewayError):
    """The call is larger than what the feature's fixed price covers."""


class KeyLimitExceeded(GatewayError):
    """
    The call alone may use more tokens than its key may in a minute.

    It is no 429, because it would never be let in: waiting does not help, another call does.
    """


class UpstreamRefusedOurKey(GatewayError):
    """OpenAI does not accept the gateway's own key."""


class UpstreamMisbehaved(GatewayError):
    """OpenAI answered with what no answer may be: a redirect, an upgrade, too much."""


class UpstreamAccountEmpty(GatewayError):
    """The gateway's own account at OpenAI has no money left."""


class UpstreamNotConfigured(GatewayError):
    """The business has an upstream key of its own, and the settings do not."""


class Overloaded(GatewayError):
    """More is waiting to be stored than the gateway may keep."""


class PaymentsOff(GatewayError):
    """Nothing can be bought here: no payment provider is set up."""


class PaymentsUnavailable(GatewayError):
    """The payment provider did not do what it was asked; nothing was paid."""
