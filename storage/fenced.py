"""
Fenced: a script call under the epoch of its partition, and what every answer may say.

Nothing is ever applied under an older epoch, and a counter that fell is noticed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.answers import NoAccount
from storage.errors import ACCOUNT_FROZEN, LedgerCorrupt, LedgerUnavailable
from storage.partitions import Partitions
from storage.scripts import Scripts


class Fenced:
    """Asks scripts for `Balances`; a refusal that every script knows is raised."""

    def __init__(self, scripts: Scripts, partitions: Partitions) -> None:
        self._scripts = scripts
        self._partitions = partitions

    async def ask(
        self, script: str, partition: int, keys: Sequence[str], arguments: Sequence[str]
    ) -> list[Any]:
        """
        Call a script under the partition's epoch.

        Args:
            arguments: Without the epoch; the first names the business.

        Raises:
            NoAccount: The business's account is not open in this epoch.
            LedgerUnavailable: No answer, or the partition or the account is frozen.
            LedgerCorrupt: The account holds what no script writes.
        """
        epoch = self._partitions.epoch(partition)
        seen = self._partitions.counter(partition)
        answer = await self._scripts.call(script, keys, (str(epoch), *arguments))
        word = answer[0]
        if word in ("STALE_EPOCH", "FROZEN"):
            raise await self._partitions.refused(partition, word, str(answer[2]))
        await self._partitions.note(partition, seen_when_asked=seen, counter=answer[1])
        if word == "NO_ACCOUNT":
            raise NoAccount(arguments[0])
        if word == "ACCOUNT_FROZEN":
            raise LedgerUnavailable(f"an account is frozen: {answer[2]}", reason=ACCOUNT_FROZEN)
        if word == "CORRUPT":
            raise corrupt(partition)
        assert word != "BAD", f"{script}.lua was given an argument it does not accept"
        return answer


def corrupt(partition: int) -> LedgerCorrupt:
    """What to raise for an account that no script can have written."""
    return LedgerCorrupt(
        f"the account of a business in partition {partition} holds what no script writes"
    )
