"""The recorder and the crediting: of a gateway, or of a process of their own."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.background.crediting import Crediting
from gateway.background.recorder import Recorder
from gateway.settings import Settings
from gateway.stores import Ledger, Stores
from gateway.tally import Tally
from storage.leases import everywhere


@dataclass(frozen=True)
class Recording:
    """
    What moves between the two stores: calls from Redis to SQL, credits from SQL to Redis.

    Attributes:
        is_here: Whether its loops run in this process.
    """

    recorder: Recorder
    crediting: Crediting
    is_here: bool


def make_recording(
    settings: Settings, stores: Stores, ledger: Ledger, tally: Tally, *, here: bool
) -> Recording:
    leases = ledger.leases
    recorder = Recorder(
        stores.database,
        stores.redis,
        every_s=settings.recorder.every_ms / 1000,
        batch=settings.recorder.batch,
        on_loss=ledger.partitions.freeze,
        runs_on=leases.of("recorder") if here else everywhere,
        channels=settings.alerts.channels,
        tally=tally,
    )
    crediting = Crediting(
        stores.database,
        ledger.balances,
        ledger.accounts,
        runs_here=leases.of_whole("crediting") if here else everywhere,
    )
    return Recording(recorder, crediting, here)
