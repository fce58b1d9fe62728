"""`gateway doctor`: what is wrong with this installation, and what helps."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.exits import WRONG, CommandRefused
from gateway.cli.options import AsJson, ConfigFile, DataDir
from gateway.cli.records import Where, database_of
from gateway.cli.stores import ANSWER_WITHIN_S, embedded_folder, redis_url, sqlite_file
from gateway.doctor.finding import Finding, ok, unsure, wrong
from gateway.doctor.ledger_checks import check_clocks, check_partitions
from gateway.doctor.price_checks import check_prices
from gateway.doctor.redis_checks import check_redis
from gateway.doctor.settings_checks import admin_token_judged, check_room
from gateway.doctor.sql_checks import check_sql
from gateway.doctor.upstream_checks import check_upstream
from gateway.settings import Settings, SettingsWrong, unused
from gateway.settings_fields import is_sha256
from storage.errors import LedgerUnavailable
from storage.scripts import connect

MARKS = {"ok": "✓", "wrong": "✗", "unsure": "!"}


def app(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask OpenAI.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """
    Look at settings, Redis, SQL, prices and the OpenAI key; name what helps.

    ✓ is as it must be, ! is worth a look or cannot be told, ✗ is wrong: any of those exits 6.
    Nothing is changed, and no call is made that costs money.
    """
    try:
        settings = Where(config, data_dir).settings()
    except (SettingsWrong, CommandRefused) as error:
        found = [wrong("settings", line, "correct it, or name the settings with --config")
                 for line in str(error).splitlines()]  # fmt: skip
    else:
        found = asyncio.run(_examined(settings, is_dev=_is_dev(settings), offline=offline))
    for finding in found:
        _tell(finding, as_json=as_json)
    if any(finding.verdict == "wrong" for finding in found):
        raise typer.Exit(WRONG)


def _is_dev(settings: Settings) -> bool:
    """`gateway dev` sets Redis and the upstream itself; its data directory names neither."""
    return settings.redis.url is None and settings.sql.sqlite


def _tell(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        output.document(asdict(finding))
        return
    output.line(f"{MARKS[finding.verdict]} {finding.said}")
    if finding.fix:
        output.line(f"    {finding.fix}")


async def _examined(settings: Settings, *, is_dev: bool, offline: bool) -> list[Finding]:
    found = [*_settings(settings, is_dev=is_dev), *await _stores(settings)]
    found.append(await _openai(settings, is_dev=is_dev, offline=offline))
    token = settings.admin.token.get_secret_value() if settings.admin.token else None
    if not is_dev:
        found.append(admin_token_judged(token, is_digest=bool(token and is_sha256(token))))
    folder = embedded_folder(settings)
    if folder is not None:
        found.append(check_room(folder))
    return found


def _settings(settings: Settings, *, is_dev: bool) -> list[Finding]:
    found = [ok("settings", "the settings can be read")]
    if not is_dev:
        try:
            settings.must_serve()
        except SettingsWrong as error:
            found = [wrong("settings", line.partition(";")[0], line.partition("; ")[2])
                     for line in error.problems]  # fmt: skip
    for key in unused(settings):
        found.append(unsure("settings.unused", f"{key} is set, and nothing reads it yet"))
    return found


async def _stores(settings: Settings) -> list[Finding]:
    try:
        redis = connect(await redis_url(settings), answer_within_s=ANSWER_WITHIN_S)
    except (LedgerUnavailable, SettingsWrong) as error:
        return [_no_redis(error), *await _records(settings, None)]
    try:
        of_redis = await check_redis(redis, durability=settings.redis.durability)
        answers = of_redis[0].verdict == "ok"
        return [*of_redis, *await _records(settings, redis if answers else None)]
    finally:
        await redis.aclose()


async def _records(settings: Settings, redis: Any) -> list[Finding]:
    """SQL, and what only SQL together with Redis can tell; `redis` is None when it is away."""
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        # To open it would make it, and a doctor changes nothing.
        return [wrong("sql", f"there is no file {file}", "gateway db upgrade")]
    database = database_of(settings)
    try:
        found = await check_sql(database)
        if not any(each.check == "sql.schema" and each.verdict == "ok" for each in found):
            return found
        if redis is not None:
            found.append(await check_clocks(redis, database))
            found += await check_partitions(redis, database)
        found += await check_prices(
            database,
            named=_models_named(settings),
            refused=[name for name, one in settings.models.items() if not one.allowed],
            now=datetime.now(UTC),
        )
        return found
    finally:
        await database.close()


def _no_redis(error: Exception) -> Finding:
    if isinstance(error, SettingsWrong):
        return wrong("redis", "nothing says where Redis is", "set redis.url")
    return unsure("redis", str(error).partition(";")[0], "start the gateway and look again")


def _models_named(settings: Settings) -> list[str]:
    features = [model for feature in settings.features.values() for model in feature.models]
    return [*features, *settings.models]


async def _openai(settings: Settings, *, is_dev: bool, offline: bool) -> Finding:
    key = settings.openai.api_key
    if key is None:
        if is_dev:
            return unsure("openai", "no OpenAI key: gateway dev answers from its stub")
        return wrong("openai", "no OpenAI key is set", "set openai.api_key, or OPENAI_API_KEY")
    if offline:
        return unsure("openai", "OpenAI was not asked (--offline)")
    return await check_upstream(settings.openai.base_url, key.get_secret_value())
