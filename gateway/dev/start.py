"""
`gateway dev`: the whole gateway on one machine, with nothing to set up.

An embedded Valkey and SQLite under the data directory, a stub OpenAI when there is no key,
a demo business with trial credits, and a curl that works. All of it is kept between starts.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway import logs
from gateway.app import Gateway
from gateway.dev.demo import Demo, demo_in, private
from gateway.dev.embedded import EmbeddedStore
from gateway.dev.stub_openai import StubOpenAI
from gateway.dev.stub_paystack import SECRET_KEY, StubPaystack
from gateway.server import listen, run, run_loop
from gateway.settings import Settings
from storage import schema
from storage.database import Database

DEFAULT_PORT = 8080
PACKAGES = """[
  {"name": "Starter", "price": "30.00", "credits": "30"},
  {"name": "Shop", "price": "80.00", "credits": "80", "bonus": "20"}
]"""


def start(*, port: int | None, data_dir: Path) -> None:
    """
    Serve until Ctrl-C.

    Raises:
        PortInUse, DataDirError, EmbeddedStoreError, SettingsWrong: With what helps.
    """
    logs.set_up(level="WARNING")
    run_loop(_serve(port, data_dir.absolute()))


async def _serve(port: int | None, data_dir: Path) -> None:
    # The port is tried first: a message about it should not come after half a start.
    first = Settings.load(None, _environ({}))
    listener = listen(first.server.host, port if port is not None else first.server.port)
    with listener:
        host, bound = listener.getsockname()[:2]
        async with (
            EmbeddedStore.running(data_dir) as store,
            _upstream() as upstream,
            _paystack(f"http://{host}:{bound}") as paystack,
        ):
            settings = _settings(data_dir, store, upstream, paystack, bound)
            demo = await _records(settings, data_dir)

            async def ready() -> None:
                shown = Shown(
                    origin=f"http://{host}:{bound}",
                    upstream=upstream,
                    sells=settings.packages[0].name if settings.packages else None,
                    admin_token=_admin_token(data_dir),
                    demo=demo,
                    data_dir=data_dir,
                    store=store.version,
                )
                print(banner(shown), flush=True)

            await run(Gateway(settings), settings, listener, when_ready=ready)


@asynccontextmanager
async def _upstream() -> AsyncIterator[str | None]:
    """The base URL of a stub, or None when there is a key for the real OpenAI."""
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("GATEWAY__OPENAI__API_KEY"):
        yield None
        return
    async with StubOpenAI.serving() as stub:
        yield stub.base_url


@asynccontextmanager
async def _paystack(origin: str) -> AsyncIterator[dict[str, str]]:
    """
    The settings of a stub that is paid at once, or none when there is a key of Paystack.

    Purchases that were pending when it ended are unknown to the next one, as at the real one.
    """
    if os.environ.get("GATEWAY__PAYSTACK__SECRET_KEY"):
        yield {}
        return
    async with StubPaystack.serving(webhook_url=f"{origin}/webhooks/paystack") as stub:
        given = {
            "GATEWAY__PAYSTACK__SECRET_KEY": SECRET_KEY,
            "GATEWAY__PAYSTACK__BASE_URL": stub.origin,
            "GATEWAY__PAYSTACK__CALLBACK_URL": f"{origin}/payments/paystack/callback",
        }
        if not os.environ.get("GATEWAY__PACKAGES"):
            given["GATEWAY__PACKAGES"] = PACKAGES
        yield given


def _settings(
    data_dir: Path,
    store: EmbeddedStore,
    upstream: str | None,
    paystack: Mapping[str, str],
    port: int,
) -> Settings:
    given = {
        "GATEWAY__REDIS__URL": store.url,
        "GATEWAY__SQL__URL": f"sqlite+aiosqlite:///{data_dir / 'gateway.db'}",
        "GATEWAY__ADMIN__TOKEN": _admin_token(data_dir),
        "GATEWAY__SERVER__PORT": str(port),
        **paystack,
    }
    if upstream is not None:
        given |= {"GATEWAY__OPENAI__BASE_URL": upstream, "GATEWAY__OPENAI__API_KEY": "sk-stub"}
    return Settings.load(None, _environ(given))


def _environ(given: Mapping[str, str]) -> dict[str, str]:
    """The environment with what `dev` decides put over it."""
    return {**os.environ, **given}


async def _records(settings: Settings, data_dir: Path) -> Demo:
    assert settings.sql.url is not None
    database = Database.open(settings.sql.url.get_secret_value())
    try:
        await schema.upgrade(database)
        return await demo_in(data_dir, database, trial=settings.credits.trial_credits)
    finally:
        await database.close()


def _admin_token(data_dir: Path) -> str:
    """The admin token of this data directory: made once, readable by its owner alone."""
    path = data_dir / "admin-token"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        private(path, token + "\n")
        return token


@dataclass(frozen=True)
class Shown:
    """What a start tells."""

    origin: str
    upstream: str | None
    sells: str | None
    admin_token: str
    demo: Demo
    data_dir: Path
    store: str


def banner(shown: Shown) -> str:
    """The text that a start prints: where things are, which keys, and a call that works."""
    upstream = (
        "stub upstream (set OPENAI_API_KEY for the real one)"
        if shown.upstream
        else "the real OpenAI"
    )
    body = '{"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}]}'
    return f"""
  Gateway   {shown.origin}/v1        {upstream}
  Admin     {shown.origin}/admin     token {shown.admin_token}
  Business  {shown.demo.name} · {shown.demo.credits} · key {shown.demo.key}
  Data      {shown.data_dir}  (embedded {shown.store}, SQLite)

  Try:      curl -i {shown.origin}/v1/chat/completions \\
              -H "Authorization: Bearer {shown.demo.key}" \\
              -H "Content-Type: application/json" \\
              -d '{body}'
            (its headers show x-credits-used and x-credits-remaining)
{_buying(shown)}
  Ctrl-C stops it; what is in the data directory stays.
"""


def _buying(shown: Shown) -> str:
    """How more is bought, where something is sold; a stub's page pays at once."""
    if shown.sells is None:
        return ""
    asked = f'{{"package": "{shown.sells}"}}'
    return f"""
  Buy:      curl {shown.origin}/portal/purchases -d '{asked}' \\
              -H "Authorization: Bearer {shown.demo.key}"
            (open its authorization_url: a stub Paystack pays at once, unless you set a key)
"""
