"""A master, its replica, and the Sentinels that make the one of the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.processes import free_port
from tests.redis_servers import CERTIFICATE, TLS, Server, offset, until

SERVICE = "ledger"


@dataclass
class SentinelSet:
    """A master, its replica, and three Sentinels that watch them."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self) -> str:
        named = ",".join(f"localhost:{sentinel.port}" for sentinel in self.sentinels)
        if self.servers[0].has_tls:
            return f"sentinels://{named}/{SERVICE}?ssl_ca_certs={CERTIFICATE}"
        return f"sentinel://{named}/{SERVICE}"

    def is_replicated(self) -> None:
        """Wait until both have the same."""
        until(lambda: len({offset(server) for server in self.servers}) == 1, self.servers)

    def fails_over(self) -> None:
        """Wait until the Sentinels have made the replica the master."""
        port = str(self.servers[1].port)

        def promoted() -> bool:
            role = self.servers[1].says("INFO", "replication")["role"]
            named = [_master_of(sentinel)[1] for sentinel in self.sentinels]
            return bool(role == "master" and {str(each) for each in named} == {port})

        until(promoted, [*self.servers, *self.sentinels])

    def stop(self) -> None:
        for server in (*self.servers, *self.sentinels):
            server.engine.kill()


def _master_of(sentinel: Server) -> Any:
    return sentinel.says("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)


def start_sentinels(directory: Path, program: Path, *, tls: bool = False) -> SentinelSet:
    """A master and a replica that is up to date, and Sentinels that know both."""
    announced = ("--replica-announce-ip", "localhost") if tls else ()
    master = Server(program, directory / "master", free_port(), announced, tls)
    host = "localhost" if tls else "127.0.0.1"
    following = ("--replicaof", f"{host} {master.port}", "--repl-diskless-sync-delay", "0")
    replica = Server(program, directory / "replica", free_port(), (*announced, *following), tls)
    sentinels = [_sentinel(directory / f"sentinel{n}", program, master) for n in range(3)]
    for server in (master, replica, *sentinels):
        server.starts()

    def all_know() -> bool:
        masters = [sentinel.says("SENTINEL MASTER", SERVICE) for sentinel in sentinels]
        return all(each["num-slaves"] == 1 and each["num-other-sentinels"] == 2 for each in masters)

    until(all_know, [master, replica, *sentinels])
    until(
        lambda: replica.says("INFO", "replication")["master_link_status"] == "up",
        [master, replica],
    )
    return SentinelSet([master, replica], sentinels)


def _sentinel(directory: Path, program: Path, master: Server) -> Server:
    directory.mkdir(parents=True)
    port = free_port()
    host, listens = "127.0.0.1", f"port {port}\n"
    if master.has_tls:
        # A certificate is for a name, so the Sentinels name the servers by theirs.
        host, listens = "localhost", f"port 0\ntls-port {port}\n"
        options = dict(zip(TLS[::2], TLS[1::2], strict=True))
        listens += "".join(
            f"{name.removeprefix('--')} {value}\n"
            for name, value in options.items()
            if name != "--tls-cluster"
        )
        listens += "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
    (directory / "sentinel.conf").write_text(
        f"{listens}bind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor {SERVICE} {host} {master.port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )
    return Server(program, directory, port, ("--sentinel",), master.has_tls)
