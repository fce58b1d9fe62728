"""
The URL of Redis: one server, the servers of a Cluster, or the Sentinels that know the master.

    redis://[user:password@]host:port/db     rediss:// with TLS     unix:///path/of.sock?db=0
    cluster://[user:password@]host:port,…    clusters:// with TLS
    sentinel://[user:password@]host:port,…/service?db=0     sentinels:// with TLS

A few servers of a Cluster will do; the others are found by asking them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

Kind = Literal["one", "cluster", "sentinel"]

# Scheme → what it names, and the scheme that redis-py knows for one of its servers.
_SCHEMES: dict[str, tuple[Kind, str]] = {
    "redis": ("one", "redis"),
    "rediss": ("one", "rediss"),
    "unix": ("one", "unix"),
    "cluster": ("cluster", "redis"),
    "clusters": ("cluster", "rediss"),
    "sentinel": ("sentinel", "redis"),
    "sentinels": ("sentinel", "rediss"),
}
SCHEMES = tuple(_SCHEMES)

_OF_TLS = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)
_OF_SENTINEL = frozenset({"sentinel_username", "sentinel_password"})
_OPTIONS = _OF_TLS | _OF_SENTINEL | {"db", "client_name"}

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")

Address = tuple[str, int]


@dataclass(frozen=True)
class RedisUrl:
    """
    What a URL says.

    Attributes:
        plain: The same for one server, as redis-py reads it.
        addresses: Of a Cluster or of Sentinels; those that were named.
        service: What the Sentinels call the master.
        sentinel_options: How to enter a Sentinel.
    """

    kind: Kind
    plain: str
    addresses: tuple[Address, ...] = ()
    service: str = ""
    sentinel_options: tuple[tuple[str, str], ...] = ()

    @property
    def has_tls(self) -> bool:
        """Whether the servers are spoken to in TLS."""
        return self.plain.startswith("rediss:")


def parse(text: str) -> RedisUrl:
    """
    Read a URL; it may have a password, so no error repeats it.

    Raises:
        ValueError: What it should be.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _SCHEMES or text != text.strip():
        named = " or ".join(f"{each}://" for each in SCHEMES)
        raise ValueError(f"should be a URL that begins with {named}")
    kind, plain_scheme = _SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    options = _options(query, kind=kind, scheme=plain_scheme)
    if kind == "one":
        return RedisUrl(kind, _one(scheme, rest, query))
    user, at, places = rest.rpartition("@")
    places, _, service = places.partition("/")
    addresses = tuple(_address(place) for place in places.split(","))
    if kind == "cluster" and (service not in ("", "0") or options.get("db", "0") != "0"):
        raise ValueError("should name no database: a Cluster has only one")
    if kind == "sentinel" and (not service or "/" in service):
        raise ValueError("should name the service: sentinel://host:26379/service")
    host, port = addresses[0]
    kept = {name: value for name, value in options.items() if name not in _OF_SENTINEL}
    plain = f"{plain_scheme}://{user}{at}{_host(host)}:{port}?{urlencode(kept)}"
    own = tuple(
        (name.removeprefix("sentinel_"), value)
        for name, value in options.items()
        if name in _OF_SENTINEL
    )
    return RedisUrl(kind, plain, addresses, service, own)


def _options(query: str, *, kind: Kind, scheme: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - _OPTIONS):
        allowed = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"has an unknown option {unknown[0][:40]!r}; there are {allowed}")
    if scheme != "rediss" and options.keys() & _OF_TLS:
        raise ValueError("has options of TLS; its scheme should be rediss, clusters or sentinels")
    if kind != "sentinel" and options.keys() & _OF_SENTINEL:
        raise ValueError("has options of Sentinel and does not begin with sentinel://")
    if not options.get("db", "0").isdecimal():
        raise ValueError("should have a number for db")
    return options


def _one(scheme: str, rest: str, query: str) -> str:
    if scheme == "unix" and not rest.rpartition("@")[2].startswith("/"):
        raise ValueError("should name the socket: unix:///run/redis.sock")
    plain = f"{scheme}://{rest}" + (f"?{query}" if query else "")
    if scheme != "unix":
        place, _, database = rest.rpartition("@")[2].partition("/")
        _address(place)
        if database and not database.isdecimal():
            raise ValueError("should have a number for its database")
    return plain


def _address(place: str) -> Address:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if (
        not host
        or not _HOST.fullmatch(host)
        or port == 0
        or parts.path
        or parts.username is not None
    ):
        raise ValueError("should have a host, and a port of 1 to 65535 where it has one")
    return host, port or 6379


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
