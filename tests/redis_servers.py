"""Redis servers on TCP: one by itself, and a Cluster of three with a replica."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from storage import redis_keys
from tests.engine import PROBE_S, START_S, Engine, EngineNotStarted, spawn
from tests.faults.processes import free_port

SLOTS = 16384
NODE_TIMEOUT_MS = 1500

CERTIFICATE = Path(__file__).parent / "gateway" / "localhost.pem"
"""Of `localhost`, with its key; it is its own authority."""

TLS = (
    *("--tls-cert-file", str(CERTIFICATE), "--tls-key-file", str(CERTIFICATE)),
    *("--tls-ca-cert-file", str(CERTIFICATE), "--tls-auth-clients", "no"),
    *("--tls-replication", "yes", "--tls-cluster", "yes"),
)
_DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


@dataclass
class Server:
    """A server on a port of 127.0.0.1, which may be killed and started again there."""

    program: Path
    directory: Path
    port: int
    options: tuple[str, ...] = ()
    has_tls: bool = False
    engine: Engine = field(init=False)

    def starts(self) -> None:
        """Start it on what is in its directory, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ports: tuple[str, ...] = ("--port", str(self.port))
        if self.has_tls:
            ports = ("--port", "0", "--tls-port", str(self.port), *TLS)
        place = ("--bind", "127.0.0.1", *ports, "--dir", str(self.directory))
        command = [str(self.program), *place, *_DURABLE, *self.options]
        if "--sentinel" in self.options:
            config = self.directory / "sentinel.conf"
            command = [str(self.program), str(config), "--sentinel"]
        process = spawn("redis", command, self.directory, last_signal=signal.SIGKILL)
        url = f"redis://127.0.0.1:{self.port}"
        self.engine = Engine("redis", url, self.directory, self.directory, process)
        with self.client() as client:
            self.engine.wait_until(lambda: _answers(client))

    def client(self) -> Redis:
        """A client of this one server, which waits for it and does not retry."""
        return Redis(
            host="localhost",
            port=self.port,
            ssl=self.has_tls,
            ssl_ca_certs=str(CERTIFICATE) if self.has_tls else None,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
            protocol=2,
        )

    def says(self, *command: Any) -> Any:
        """What it answers to a command, in Python's words."""
        with self.client() as client:
            return client.execute_command(*command)


def _answers(client: Redis) -> bool:
    with suppress(RedisError, OSError):
        return bool(client.ping())
    return False


@dataclass
class Cluster:
    """Three servers that have the slots, and a replica of the first."""

    servers: list[Server]
    replica: Server

    @property
    def url(self) -> str:
        """Two of them; the third must be found."""
        named = ",".join(f"localhost:{server.port}" for server in self.servers[:2])
        if self.servers[0].has_tls:
            return f"clusters://{named}?ssl_ca_certs={CERTIFICATE}"
        return f"cluster://{named}"

    @property
    def everybody(self) -> list[Server]:
        return [*self.servers, self.replica]

    def owner(self, partition: int) -> Server:
        """Who has a partition, by the first server that answers."""
        slot = key_slot(redis_keys.meta(partition).encode())
        for server in self.everybody:
            with suppress(RedisError, OSError):
                for first, last, (_, port, *_), *_ in server.says("CLUSTER SLOTS"):
                    if first <= slot <= last:
                        return next(each for each in self.everybody if each.port == port)
        raise AssertionError(f"nobody has partition {partition}")

    def begins_to_move(self, partition: int, to: Server) -> tuple[Server, int]:
        """Open a slot for its move; gives who had it, and the slot."""
        slot = key_slot(redis_keys.meta(partition).encode())
        source = self.owner(partition)
        to.says("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        source.says("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(to))
        return source, slot

    def moves(self, partition: int, to: Server) -> None:
        """Move a partition as `redis-cli --cluster reshard` does, key after key."""
        source, slot = self.begins_to_move(partition, to)
        self.ends_move(source, slot, to)

    def ends_move(self, source: Server, slot: int, to: Server) -> None:
        """Move what is left of a slot, and tell everybody whose it is now."""
        while keys := source.says("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.says("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for server in (to, source, *(each for each in self.servers if each not in (to, source))):
            server.says("CLUSTER", "SETSLOT", slot, "NODE", _id(to))

    def is_replicated(self) -> None:
        """Wait until the replica has what its master has."""
        until(lambda: offset(self.servers[0]) == offset(self.replica), self.everybody)

    def is_well(self) -> None:
        """Wait until every server serves what it has."""
        until(lambda: all(map(_is_ok, self.everybody)), self.everybody)

    def is_promoted(self) -> None:
        """Wait until the replica is a master, and everybody knows."""

        def promoted() -> bool:
            mine = self.replica.says("CLUSTER MYID")
            living = [each for each in self.everybody if each.engine.process.poll() is None]
            return all(
                any(found[2][2] == mine for found in server.says("CLUSTER SLOTS"))
                for server in living
            )

        until(promoted, self.everybody)

    def stop(self) -> None:
        for server in self.everybody:
            server.engine.kill()


def start_cluster(directory: Path, program: Path, *, tls: bool = False) -> Cluster:
    """A Cluster that has every slot; the slots of our partitions lie on all three."""
    servers = [_server_of_cluster(directory / f"{n}", program, tls) for n in range(4)]
    for server in servers:
        server.starts()
    *masters, replica = servers
    for n, server in enumerate(masters):
        first, last = SLOTS * n // 3, SLOTS * (n + 1) // 3 - 1
        server.says("CLUSTER", "ADDSLOTSRANGE", first, last)
        server.says("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
    for server in servers[1:]:
        bus = server.options[server.options.index("--cluster-port") + 1]
        servers[0].says("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
    until(lambda: all(_knows(server, 4) for server in servers), servers)
    replica.says("CLUSTER", "REPLICATE", _id(masters[0]))
    until(lambda: all(_is_ok(server) for server in servers), servers)
    until(lambda: replica.says("INFO", "replication")["master_link_status"] == "up", servers)
    if tls:
        until(lambda: all(_knows_names(server) for server in servers), servers)
    return Cluster(masters, replica)


def _knows_names(server: Server) -> bool:
    ranges = server.says("CLUSTER SLOTS")
    return all(each[0] == "localhost" for found in ranges for each in found[2:])


def _server_of_cluster(directory: Path, program: Path, tls: bool) -> Server:
    options: tuple[str, ...] = (
        *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        *("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"),
        *("--repl-diskless-sync-delay", "0"),
    )
    if tls:
        # A certificate is for a name, so the servers name each other by theirs.
        name = ("--cluster-announce-hostname", "localhost")
        options += (*name, "--cluster-preferred-endpoint-type", "hostname")
    return Server(program, directory, free_port(), options, tls)


def _id(server: Server) -> str:
    said: str = server.says("CLUSTER MYID")
    return said


def _knows(server: Server, others: int) -> bool:
    said = server.says("CLUSTER INFO")
    return bool(said["cluster_known_nodes"] == str(others))


def _is_ok(server: Server) -> bool:
    said = server.says("CLUSTER INFO")
    return bool(said["cluster_state"] == "ok" and said["cluster_slots_ok"] == str(SLOTS))


def offset(server: Server) -> int:
    said = server.says("INFO", "replication")
    name = "master_repl_offset" if said["role"] == "master" else "slave_repl_offset"
    return int(said[name])


def until(is_so: Callable[[], bool], servers: Iterable[Server]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(RedisError, OSError, KeyError):
            if is_so():
                return
        if time.monotonic() > deadline:
            logs = "\n".join(server.engine.log() for server in servers)
            raise EngineNotStarted(f"it did not come to that; the logs end:\n{logs}")
        time.sleep(PROBE_S)
