"""
config.toml and the environment → frozen Settings.

An error names where a value was written, its key, what is allowed, and the value itself
unless it is a secret. Every problem is named at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.settings_errors import SettingsWrong, problems_of
from gateway.settings_sections import (
    AdminSection,
    AlertsSection,
    CreditsSection,
    FeatureSection,
    HoldsSection,
    IdempotencySection,
    LimitsSection,
    ModelSection,
    Name,
    OpenAISection,
    PackageSection,
    PaystackSection,
    RecorderSection,
    RedisSection,
    ServerSection,
    SqlSection,
    TaxSection,
    UpstreamName,
    UpstreamSection,
)
from gateway.settings_sources import (
    Credentials,
    Environment,
    OpenAIVariables,
    Source,
    TomlFile,
    merged,
)

__all__ = ["Settings", "SettingsWrong"]

_HINTS = {
    "redis.url": 'such as redis://127.0.0.1:6379/0, or "embedded"',
    "sql.url": "such as postgresql+asyncpg://gateway@127.0.0.1/gateway",
    "openai.api_key": "or OPENAI_API_KEY",
}

_RECORDER_NEEDS_SERVERS = (
    "recorder → an embedded Valkey and SQLite belong to one process, the gateway; "
    "`gateway recorder` and recorder.in_workers = false need a Redis and a PostgreSQL"
)

_PACKAGES_NEED_A_KEY = (
    "paystack.secret_key → is needed to sell packages: it signs webhooks, and without it nobody "
    "could tell a payment from a forged one; set GATEWAY__PAYSTACK__SECRET_KEY, or remove "
    "[[packages]]"
)

_EVERYWHERE = ("0.0.0.0", "::", "[::]", "")


class Settings(BaseSettings):
    """Everything an operator can set, checked; `load` is the way to make one."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="GATEWAY__",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    server: ServerSection = ServerSection()
    openai: OpenAISection = OpenAISection()
    upstreams: dict[UpstreamName, UpstreamSection] = {}
    redis: RedisSection = RedisSection()
    sql: SqlSection = SqlSection()
    credits: CreditsSection = CreditsSection()
    features: dict[Name, FeatureSection] = {}
    models: dict[Name, ModelSection] = {}
    packages: Annotated[tuple[PackageSection, ...], Field(max_length=100)] = ()
    taxes: Annotated[tuple[TaxSection, ...], Field(max_length=100)] = ()
    holds: HoldsSection = HoldsSection()
    recorder: RecorderSection = RecorderSection()
    idempotency: IdempotencySection = IdempotencySection()
    limits: LimitsSection = LimitsSection()
    admin: AdminSection = AdminSection()
    paystack: PaystackSection = PaystackSection()
    alerts: AlertsSection = AlertsSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the constructor is given: `load` asks the sources, with their names."""
        return (init_settings,)

    @classmethod
    def load(cls, path: Path | None, environ: Mapping[str, str]) -> Self:
        """
        Read the settings from the environment, the credentials directory and a file.

        Args:
            path: config.toml, or None for the defaults and the environment alone.
            environ: os.environ, or what a test puts in its place.

        Raises:
            SettingsWrong: Something is missing, unknown, or not allowed.
        """
        return cls.of(cls.sources(path, environ))

    @classmethod
    def sources(cls, path: Path | None, environ: Mapping[str, str]) -> list[Source]:
        """Where settings are looked for; an earlier one goes before a later one."""
        sources: list[Source] = [Environment(cls, environ)]
        if directory := environ.get("CREDENTIALS_DIRECTORY"):
            sources.append(Credentials(cls, Path(directory)))
        sources.append(OpenAIVariables(environ))
        if path is not None:
            sources.append(TomlFile(cls, path))
        return sources

    @classmethod
    def of(cls, sources: list[Source]) -> Self:
        """
        What these sources say together.

        Raises: As `load`.
        """
        problems = [problem for source in sources for problem in source.problems]
        try:
            settings = cls(**merged(sources))
        except ValidationError as wrong:
            problems += problems_of(wrong, sources, cls)
        if problems:
            raise SettingsWrong(problems)
        return settings

    def must_serve(self) -> None:
        """
        Make sure that what has no default is there.

        Raises:
            SettingsWrong: Names what a server cannot do without, and how to set it.
        """
        self._must_have("redis.url", "sql.url", "openai.api_key", to="serve")
        if self.packages and self.paystack.secret_key is None:
            raise SettingsWrong([_PACKAGES_NEED_A_KEY])

    def must_record(self) -> None:
        """
        Make sure that `gateway recorder` can do its work.

        Raises:
            SettingsWrong: Names what it cannot do without.
        """
        self._must_have("redis.url", "sql.url", to="record")
        if self.redis.embedded or self.sql.sqlite:
            raise SettingsWrong([_RECORDER_NEEDS_SERVERS])

    def _must_have(self, *keys: str, to: str) -> None:
        problems = [
            f"{key} → is needed to {to}; set GATEWAY__{key.replace('.', '__').upper()}, "
            f"{_HINTS[key]}"
            for key in keys
            if getattr(getattr(self, key.partition(".")[0]), key.partition(".")[2]) is None
        ]
        if problems:
            raise SettingsWrong(problems)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [problem for check in _CHECKS if (problem := check(self))]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _one_worker(settings: Settings) -> str | None:
    if settings.server.workers > 1 and settings.redis.embedded:
        return (
            "server.workers → an embedded Valkey serves one worker; set redis.url, or workers to 1"
        )
    return None


def _one_writer(settings: Settings) -> str | None:
    if settings.server.workers > 1 and settings.sql.sqlite:
        return (
            "server.workers → SQLite serves one worker; set sql.url to PostgreSQL, or workers to 1"
        )
    return None


def _recorder_apart(settings: Settings) -> str | None:
    if not settings.recorder.in_workers and (settings.redis.embedded or settings.sql.sqlite):
        return _RECORDER_NEEDS_SERVERS
    return None


def _not_itself(settings: Settings) -> str | None:
    for name, upstream in settings.upstreams.items():
        if upstream.base_url and _is_ours(upstream.base_url, settings):
            return f"upstreams.{name}.base_url → points at the gateway itself; it names OpenAI"
    if _is_ours(settings.openai.base_url, settings):
        return (
            "openai.base_url → points at the gateway itself; it names OpenAI, "
            "and the apps' SDKs name the gateway"
        )
    return None


def _is_ours(base_url: str, settings: Settings) -> bool:
    base, server = urlsplit(base_url), settings.server
    host, port = base.hostname or "", base.port or (443 if base.scheme == "https" else 80)
    ports = {server.port, settings.admin.port} - {None, 0}
    return host in server.allowed_hosts or (port in ports and _is_here(host, server.host))


def _is_here(host: str, listening: str) -> bool:
    names = {"localhost", gethostname().lower()}
    loopback = host in names or _is_loopback(host)
    if listening in _EVERYWHERE or listening in names or _is_loopback(listening):
        return loopback or host in (listening, *_EVERYWHERE)
    return host == listening.lower()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listeners_apart(settings: Settings) -> str | None:
    admin, server = settings.admin, settings.server
    if admin.port and admin.port == server.port and admin.host in (None, server.host):
        return "admin.port → is the port of [server]; leave it out to share that listener"
    return None


def _fit_affords_something(settings: Settings) -> str | None:
    credits = settings.credits
    if credits.min_output_tokens > credits.default_max_output_tokens:
        return "credits.min_output_tokens → is more than credits.default_max_output_tokens"
    return None


def _no_waitaof_yet(settings: Settings) -> str | None:
    if settings.redis.durability == "waitaof":
        return "redis.durability → waitaof is not there in this version; use aof_always"
    return None


def unused(settings: Settings) -> list[str]:
    """What is set and read by nothing in this version: the operator is told at each start."""
    set_here = {
        "openai.admin_key": settings.openai.admin_key,
        "server.trusted_proxies": settings.server.trusted_proxies,
    }
    return [key for key, value in set_here.items() if value]


_CHECKS = (
    _no_waitaof_yet,
    _one_worker,
    _one_writer,
    _recorder_apart,
    _not_itself,
    _listeners_apart,
    _fit_affords_something,
)
