"""A call goes through a Redis with TLS, and as a user who may do what docs/security.md lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from metering.money import Credits
from storage.redis_keys import REVOKED_CHANNEL
from storage.scripts import connect
from tests.engines import redis_program, valkey_program
from tests.faults.processes import free_port
from tests.house import open_house
from tests.laws.laws import check_stores
from tests.laws.lifetimes import nothing_is_left
from tests.redis_servers import CERTIFICATE, Server, start_cluster
from tests.sources import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

PASSWORD = "open-sesame-0123456789"
DENIED = (
    ("CONFIG", "GET", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCRIPT", "FLUSH"),
    ("REPLICAOF", "NO", "ONE"),
    ("ACL", "LIST"),
    ("SET", "elsewhere", "1"),
    ("HSET", "{p99}:meta", "epoch", "1"),
    ("PUBLISH", "elsewhere", "1"),
)


def acl_line(*, cluster: bool = False) -> str:
    """What the documentation tells an operator to allow."""
    text = (ROOT / "docs" / "operating.md").read_text()
    (line,) = re.findall(r"^ACL SETUSER gateway (.*)$", text, re.MULTILINE)
    (more,) = re.findall(r"`(\+cluster\|slots .*?)`", text)
    return f"{line} {more}" if cluster else line


def with_user(server: Server, *, cluster: bool = False) -> None:
    """Make the user on a server, and let nobody else in but with a password."""
    rules = acl_line(cluster=cluster).replace("PASSWORD", PASSWORD).split()
    server.says("ACL", "SETUSER", "gateway", *rules)


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    """One server on TCP, on each engine."""
    program = {"valkey": valkey_program, "redis": redis_program}[request.param]()
    made = Server(program, folder / "redis", free_port())
    made.starts()
    yield made
    made.engine.kill()


async def is_served(redis_url: str, records_url: str, *, seen_by: str = "") -> None:
    """A business buys, calls, and is charged; every law holds, as another user may see."""
    async with open_house(redis_url=redis_url, records_url=records_url) as house:
        acme = await house.business()
        assert (await house.chat(acme)).status_code == 200
        assert (await house.chat(acme, stream=True)).status_code == 200
        assert len(await acme.transactions()) == 2
        assert (await house.client.get("/readyz")).status_code == 200
        assert await house.parts.loops.sweeper.sweep_once() == 0
        assert await acme.held() == Credits(0)
        told = house.parts.stores.redis.publish(REVOKED_CHANNEL, "00" * 32)
        assert await told >= 0
        pricing, reader = house.parts.pricing, connect(seen_by or redis_url)
        await check_stores(
            reader,
            house.database,
            tariff=pricing.tariff,
            card=pricing.book.card(),
            bills=house.openai.billed,
        )
        await nothing_is_left(reader)
        await reader.aclose()


async def test_the_documented_user_suffices_and_may_nothing_else(
    server: Server, sqlite_records_url: str
) -> None:
    """Whoever has its password can neither empty Redis nor look into it."""
    with_user(server)
    url = f"redis://gateway:{PASSWORD}@127.0.0.1:{server.port}/0"
    async with Redis.from_url(url) as client:
        user: Any = client
        await is_served(url, sqlite_records_url, seen_by=server.engine.url)

        for command in DENIED:
            with pytest.raises(NoPermissionError):
                await user.execute_command(*command)
    log = server.says("ACL LOG")
    assert {str(entry["object"]).split("|")[0] for entry in log} <= {
        *(command[0].lower() for command in DENIED), "elsewhere", "{p99}:meta", "client",
    }  # fmt: skip


def test_scripts_use_no_command_that_the_documented_user_may_not() -> None:
    """A script runs with the rights of who calls it."""
    scripts = (ROOT / "storage" / "lua").glob("*.lua")
    used = {
        name.lower()
        for script in scripts
        for name in re.findall(r"redis\.p?call\('(\w+)'", script.read_text())
    }

    assert used <= set(re.findall(r"\+([a-z]+)", acl_line()))


async def test_a_call_over_tls(folder: Path, sqlite_records_url: str) -> None:
    """Checked against the authority of the URL; without it nobody is served."""
    server = Server(redis_program(), folder / "redis", free_port(), has_tls=True)
    server.starts()
    try:
        url = f"rediss://localhost:{server.port}/0"
        await is_served(f"{url}?ssl_ca_certs={CERTIFICATE}", sqlite_records_url)

        stranger = connect(url)
        with pytest.raises(Exception, match="certificate verify failed"):
            await stranger.ping()
        await stranger.aclose()
    finally:
        server.engine.kill()


async def test_a_call_over_tls_to_a_cluster_as_the_documented_user(
    folder: Path, sqlite_records_url: str
) -> None:
    """Each server is entered so, and known by the name in its certificate."""
    cluster = start_cluster(folder, redis_program(), tls=True)
    try:
        for server in cluster.everybody:
            with_user(server, cluster=True)
        url = cluster.url.replace("://", f"://gateway:{PASSWORD}@")
        # redis-py calls the name of this machine by its address, which is in no certificate.
        reader = f"{cluster.url}&ssl_check_hostname=no"
        await is_served(url, sqlite_records_url, seen_by=reader)
    finally:
        cluster.stop()
