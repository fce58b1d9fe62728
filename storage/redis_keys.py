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


def partition_in(key: str) -> int:
    """The partition that a key of ours belongs to."""
    return int(key[2:4])


def meta(partition: int) -> str:
    """Hash: epoch, counter, frozen. Lives for ever; its absence is a loss."""
    return f"{{p{partition:02d}}}:meta"


def account(partition: int, business: str) -> str:
    """Hash: total, held, owed, seq, credit_seq, expires_at_ms, … Lives for ever."""
    return f"{{p{partition:02d}}}:account:{business}"


def holds(partition: int, business: str) -> str:
    """
    Hash: hold id → granted|metered|note. A field goes when its hold is settled.

    Before the note, when the hold was made under limits: `@tokens good_at per_minute limits-key|`.
    """
    return f"{{p{partition:02d}}}:holds:{business}"


def deadlines(partition: int) -> str:
    """Sorted set: business:hold id, scored by the end of the lease in milliseconds."""
    return f"{{p{partition:02d}}}:deadlines"


def answer(partition: int, hold: str) -> str:
    """String: the terminal answer of a settle. Until SQL has it, then 600 seconds."""
    return f"{{p{partition:02d}}}:answer:{hold}"


def limits(partition: int, key: str) -> str:
    """
    Hash: epoch, buckets, open, held of an API key that has limits; spent, before, cap.

    60 seconds after the last of its holds; for ever once the key has had a cap.
    """
    return f"{{p{partition:02d}}}:limits:{key}"


def outbox(partition: int) -> str:
    """Stream: events that are not yet in SQL; an entry goes once it is there."""
    return f"{{p{partition:02d}}}:outbox"


def lease(partition: int, loop: str) -> str:
    """String: who runs a background loop now. Seconds; nothing depends on it."""
    return f"{{p{partition:02d}}}:lease:{loop}"


def replay(partition: int, business: str, digest: str) -> str:
    """Hash: the call that an Idempotency-Key names, and its reply. 24 hours."""
    return f"{{p{partition:02d}}}:replay:{business}:{digest}"


def kept_of(partition: int, business: str) -> str:
    """String: bytes of the replays a business has begun. 24 hours from the first of them."""
    return f"{{p{partition:02d}}}:kept:{business}"


def kept(partition: int) -> str:
    """String: the same of all businesses of a partition. 24 hours from the first of them."""
    return f"{{p{partition:02d}}}:kept"


REVOKED_CHANNEL = "revoked"
"""Channel: hexadecimal digests of revoked keys."""
