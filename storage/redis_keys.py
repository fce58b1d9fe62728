"""
Every key this software writes to Redis: its name, what it holds, how long it lives.

Nobody else formats a key. All keys of a business carry the tag of its partition, so that
one script may touch them together on a Cluster.
"""

from __future__ import annotations

from zlib import crc32

PARTITIONS = 16


def partition_of(business: str) -> int:
    """The partition (0 to 15) that a business belongs to, for ever."""
    return crc32(business.encode()) % PARTITIONS


def meta(partition: int) -> str:
    """Hash: epoch, counter, frozen. Lives for ever; its absence is a loss."""
    return f"{{p{partition:02d}}}:meta"


def account(partition: int, business: str) -> str:
    """Hash: total, held, owed, seq, credit_seq, expires_at_ms, … Lives for ever."""
    return f"{{p{partition:02d}}}:account:{business}"


def holds(partition: int, business: str) -> str:
    """Hash: hold id → granted|metered|note. A field goes when its hold is settled."""
    return f"{{p{partition:02d}}}:holds:{business}"


def deadlines(partition: int) -> str:
    """Sorted set: business:hold id, scored by the end of the lease in milliseconds."""
    return f"{{p{partition:02d}}}:deadlines"


def answer(partition: int, hold: str) -> str:
    """String: the terminal answer of a settle. Until SQL has it, then 600 seconds."""
    return f"{{p{partition:02d}}}:answer:{hold}"


def limits(partition: int, key: str) -> str:
    """Hash: rate and spending state of an API key."""
    return f"{{p{partition:02d}}}:limits:{key}"


def outbox(partition: int) -> str:
    """Stream: events that are not yet in SQL; an entry goes once it is there."""
    return f"{{p{partition:02d}}}:outbox"


def lease(partition: int, loop: str) -> str:
    """String: who runs a background loop now. Seconds; nothing depends on it."""
    return f"{{p{partition:02d}}}:lease:{loop}"


REVOKED_CHANNEL = "revoked"
"""Channel: hexadecimal digests of revoked keys."""
