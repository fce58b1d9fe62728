"""The kinds of value a setting can have, beyond those of pydantic."""

from __future__ import annotations

import re
from base64 import b64decode
from decimal import Decimal
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
)

from gateway.currency import decimals_of
from metering.money import Credits
from storage import redis_url

SQL_SCHEMES = ("sqlite+aiosqlite", "postgresql+asyncpg")

_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def _decimal_text(value: Any) -> str:
    """
    A decimal of the file or the environment as plain text; a float is never let in.

    The text is bounded before it is written out: 1e999999999 would be a gigabyte of it.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value) and len(value) <= 40:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and -20 < value.adjusted() < 20:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent > -20:
            return format(value, "f")
    raise ValueError("should be a plain decimal number such as 12.00")


def _credits(value: Any) -> Credits:
    credits = value if isinstance(value, Credits) else Credits.parse(_decimal_text(value))
    if credits < Credits(0):
        raise ValueError("should not be negative")
    return credits


def _rate(value: Any) -> Decimal:
    rate = Decimal(_decimal_text(value))
    if not 0 < rate < 10**9:
        raise ValueError("should be greater than 0 and less than 1000000000")
    return rate


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


def _currency(code: str) -> str:
    decimals_of(code)
    return code


def _network(text: str) -> str:
    if text != "*":
        ip_network(text, strict=False)
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("should be a host name or an address")
    return text.lower()


def _secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    # It travels in a header, where a blank or a line break would end or split it.
    if not text or not all(33 <= ord(letter) <= 126 for letter in text):
        raise ValueError("should be printable ASCII without blanks, and not empty")
    return secret


def _admin_token(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 22:
        raise ValueError(
            "should have at least 22 characters (128 bits); "
            '`python -c "import secrets; print(secrets.token_urlsafe())"` makes one'
        )
    return secret


def _webhook_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 32:
        raise ValueError("should have at least 32 characters, or anybody could forge a signature")
    return secret


def _signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError(
            "should be whsec_ and 24 to 64 bytes in base64; "
            '`python -c "import base64, secrets; '
            "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\"` makes one"
        )
    return secret


def split_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a URL with one of these schemes and a port that can be."""
    named = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(text)
        port_is_wrong = parts.port == 0
    except ValueError:
        raise ValueError(f"should be a URL that begins with {named}") from None
    if "://" not in text or parts.scheme not in schemes or port_is_wrong or text != text.strip():
        raise ValueError(f"should be a URL that begins with {named}")
    return parts


def _http_url(text: str) -> str:
    parts = split_url(text, ("https", "http"))
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("should have a host, and neither a password, nor ?…, nor #…")
    return text.rstrip("/")


def _secret_url(secret: SecretStr) -> SecretStr:
    parts = split_url(secret.get_secret_value(), ("https", "http"))
    if not parts.hostname:
        raise ValueError("should have a host")
    return secret


def _redis_url(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text == "embedded":
        return secret
    try:
        redis_url.parse(text)
    except ValueError as wrong:
        raise ValueError(f'{wrong}, or "embedded"') from None
    return secret


def _sql_url(secret: SecretStr) -> SecretStr:
    parts = split_url(secret.get_secret_value(), SQL_SCHEMES)
    if parts.scheme == SQL_SCHEMES[0] and parts.path in ("", "/", "/:memory:"):
        raise ValueError("should name a file: money kept in memory is lost at every stop")
    return secret


Whole = Annotated[int, BeforeValidator(_no_bool)]
Count = Annotated[Whole, Field(ge=1)]
Port = Annotated[Whole, Field(ge=0, le=65535)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
# The environment has only text, which a Literal of numbers would not take for one.
OutOfCreditsStatus = Annotated[
    Literal[402, 429],
    BeforeValidator(lambda value: {"402": 402, "429": 429}.get(str(value), value)),
]
Amount = Annotated[Credits, PlainValidator(_credits), PlainSerializer(str)]
Rate = Annotated[Decimal, PlainValidator(_rate), PlainSerializer(str)]
MoneyText = Annotated[str, BeforeValidator(_decimal_text)]
Currency = Annotated[str, AfterValidator(_currency)]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
AdminToken = Annotated[Secret, AfterValidator(_admin_token)]
WebhookSecret = Annotated[Secret, AfterValidator(_webhook_secret)]
SigningSecret = Annotated[Secret, AfterValidator(_signing_secret)]
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
SqlUrl = Annotated[SecretStr, AfterValidator(_sql_url)]


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal."""
    return _SHA256.fullmatch(text) is not None
