"""The background loops of a gateway, one job each, and how they are made."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.authenticate import Authenticate, Find
from gateway.background.backlog import Backlog
from gateway.background.crediting import Crediting
from gateway.background.expiry import Expiry
from gateway.background.reconciler import Reconciler
from gateway.background.recorder import Recorder
from gateway.background.revocations import Revocations
from gateway.background.settler import Settler
from gateway.background.sweeper import Sweeper
from gateway.metrics import Metrics
from gateway.open_calls import OpenCalls
from gateway.price_book import PriceBook
from gateway.recording import Recording, make_recording
from gateway.settings import Settings
from gateway.stores import Ledger, Stores
from storage import keys
from storage.database import Database
from storage.leases import Leases


@dataclass(frozen=True)
class Loops:
    """
    What runs beside the calls.

    Attributes:
        leases: Where the sweeper, the recording, the expiry and the reconciler run; the
            others run in every process, each for its own calls and its own memory.
    """

    open_calls: OpenCalls
    leases: Leases
    sweeper: Sweeper
    recording: Recording
    expiry: Expiry
    reconciler: Reconciler
    settler: Settler
    backlog: Backlog
    prices: PriceBook
    revocations: Revocations
    authenticate: Authenticate
    metrics: Metrics

    @property
    def recorder(self) -> Recorder:
        """Outbox → SQL."""
        return self.recording.recorder

    @property
    def crediting(self) -> Crediting:
        """SQL → Redis."""
        return self.recording.crediting


def make_loops(
    settings: Settings, stores: Stores, ledger: Ledger, book: PriceBook, metrics: Metrics
) -> Loops:
    lease_s = settings.holds.lease_s
    recording = make_recording(
        settings, stores, ledger, metrics.tally, here=settings.recorder.in_workers
    )
    settler = Settler(ledger.balances, ledger.accounts, stores.database, metrics.tally)
    authenticate = Authenticate(_finder(stores.database))
    return Loops(
        open_calls=OpenCalls(ledger.balances, lease_s=lease_s),
        leases=ledger.leases,
        sweeper=Sweeper(
            ledger.balances,
            ledger.partitions,
            ledger.scripts,
            lease_s=lease_s,
            every_s=settings.holds.sweep_every_s,
            runs_on=ledger.leases.of("sweeper"),
            tally=metrics.tally,
        ),
        recording=recording,
        expiry=Expiry(
            stores.database,
            ledger.balances,
            ledger.accounts,
            recording.crediting,
            runs_here=ledger.leases.of_whole("expiry"),
            warns_days=settings.alerts.expiring_soon_days,
            channels=settings.alerts.channels,
        ),
        reconciler=Reconciler(
            stores.database,
            ledger.balances,
            ledger.accounts,
            ledger.partitions,
            recording.crediting,
            runs_here=ledger.leases.of_whole("reconciler"),
        ),
        settler=settler,
        backlog=Backlog(
            stores.redis,
            lambda: settler.backlog_bytes,
            most_bytes=settings.recorder.backlog_max_bytes,
        ),
        prices=book,
        revocations=Revocations(stores.redis, authenticate),
        authenticate=authenticate,
        metrics=metrics,
    )


def _finder(database: Database) -> Find:
    async def find(digests: list[bytes]) -> dict[bytes, keys.KeyHolder]:
        async with database.read() as connection:
            return await keys.find_all(connection, digests)

    return find
