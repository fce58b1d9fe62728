"""
Idempotent calls: one that is named by an Idempotency-Key is made once and answered always.

The first call with a key is recorded while its reply is passed on, and kept with its last
byte; a repeated one is answered with that, byte for byte, and nothing is held or forwarded
for it. Only what was charged is kept: a refusal, or an error of OpenAI's, costs nothing, so
the same key may try again.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable
from time import monotonic
from typing import Any

import msgspec

from gateway.metered_call import MeteredCall
from gateway.open_calls import OpenCalls
from gateway.relay import Send
from gateway.reply import Reply
from gateway.settlement import Settlement
from storage.errors import CallInFlight, StorageError
from storage.replays import CLAIM_LASTS_S
from storage.replays import Replays as Store

log = logging.getLogger(__name__)

REPLAYED = (b"idempotency-replayed", b"true")

PACK_HERE_BYTES = 32 * 1024  # Packing more takes a good part of a millisecond.


class Whole(msgspec.Struct, array_like=True):
    """A reply as it went out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Replays:
    """
    Claims the keys of calls, and answers those that were made before.

    Args:
        reply_max_bytes: Longer replies are not kept; a repeated call is then told so.
    """

    def __init__(self, store: Store, open_calls: OpenCalls, *, reply_max_bytes: int) -> None:
        self._store = store
        self._open_calls = open_calls
        self._reply_max_bytes = reply_max_bytes

    async def answered(self, call: MeteredCall, answer: Reply) -> bool:
        """
        Answer a call that was made before; else record the reply it will have.

        Raises:
            RepeatRefused: One of its kinds; the call is not to be made.
        """
        assert call.name is not None, "only a call with an Idempotency-Key can be repeated"
        call.claimed = monotonic()
        business = call.holder.business
        kept = await self._store.claim(business=business, name=call.name, id=call.id)
        if kept is None:
            answer.send = call.recording = Recording(
                call,
                answer.send,
                self._store,
                self._open_calls,
                most_bytes=self._reply_max_bytes,
            )
            return False
        call.id, call.is_replay = kept.id, True
        whole = await _in_thread_if_long(unpacked, kept.reply)
        await answer.start(whole.status, [*whole.headers, REPLAYED])
        await answer.end(whole.body)
        return True


def check_in_time(call: MeteredCall) -> None:
    """
    Give a hold up that came so late that somebody else may have taken the key meanwhile.

    Raises:
        CallInFlight: It did.
    """
    if call.recording is not None and monotonic() - call.claimed > CLAIM_LASTS_S:
        raise CallInFlight("the hold came too late; ask again in a moment")


class Recording:
    """
    A reply that is noted while it is passed on.

    The settlement waits until it is kept, or will never be: so a call which is settled and
    has no reply can be told from one whose reply is on its way.
    """

    def __init__(
        self,
        call: MeteredCall,
        send: Send,
        store: Store,
        open_calls: OpenCalls,
        *,
        most_bytes: int,
    ) -> None:
        self._call = call
        self._send = send
        self._store = store
        self._open_calls = open_calls
        self._most_bytes = most_bytes
        self._whole: Whole | None = None
        self._pieces: list[bytes] = []
        self._length = 0
        self._over = asyncio.Event()
        self._ended: asyncio.Future[Settlement] | None = None

    async def __call__(self, message: dict[str, Any]) -> None:
        """Pass a message on; the last one once the reply is kept."""
        if message["type"] == "http.response.start":
            self._whole = Whole(message["status"], list(message["headers"]), b"")
        else:
            self._note(message.get("body", b""))
            if not message.get("more_body", False) and not self._over.is_set():
                await self._conclude()
        await self._send(message)

    def close(self) -> None:
        """There will be no more of it; what has not ended is not kept."""
        self._pieces.clear()
        self._over.set()

    def settled_after(self, ended: Settlement | Awaitable[Settlement]) -> Awaitable[Settlement]:
        """How the call ended, decided now, once its reply is kept or will never be."""
        if isinstance(ended, Settlement):
            self._ended = asyncio.get_running_loop().create_future()
            self._ended.set_result(ended)
        else:
            self._ended = asyncio.ensure_future(ended)
        return self._once_over(self._ended)

    async def _once_over(self, ended: asyncio.Future[Settlement]) -> Settlement:
        await self._over.wait()
        return await ended

    def _note(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length <= self._most_bytes:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    async def _conclude(self) -> None:
        assert self._whole is not None, "a reply begins with its status"
        try:
            if 200 <= self._whole.status < 300:
                await self._keep(self._whole)
            elif self._call.hold is None or self._call.is_free():
                await self._let_go()
        except StorageError as error:
            log.warning("reply_not_kept", extra={"id": self._call.id, "error": str(error)[:200]})
        self.close()

    async def _keep(self, whole: Whole) -> None:
        if self._length > self._most_bytes or not await self._is_paid_for():
            return
        whole.body = b"".join(self._pieces)
        reply = await _in_thread_if_long(packed, whole)
        call = self._call
        assert call.name is not None
        business = call.holder.business
        if not await self._store.keep(business=business, name=call.name, id=call.id, reply=reply):
            log.warning("reply_not_kept", extra={"id": call.id, "error": "no room, or no key"})

    async def _is_paid_for(self) -> bool:
        """
        Have the price noted first, so that no reply is kept that would be free.

        A gateway that dies before it settles is charged for by the sweep. Who was swept
        already is not sure to settle, so its reply is not kept.
        """
        if self._ended is None:
            return False
        # Who waits here may be given up; the settlement must not.
        await asyncio.wait([self._ended])
        if self._ended.cancelled() or self._ended.exception() is not None:
            return False  # The settler says why.
        return await self._open_calls.ended(self._call.id, self._ended.result().amount)

    async def _let_go(self) -> None:
        call = self._call
        assert call.name is not None
        await self._store.unclaim(business=call.holder.business, name=call.name, id=call.id)


def packed(whole: Whole) -> str:
    """A reply as text: streams of events, which repeat themselves, shrink to a tenth."""
    return b64encode(zlib.compress(msgspec.msgpack.encode(whole), 1)).decode()


def unpacked(text: str) -> Whole:
    """The reply again."""
    return msgspec.msgpack.decode(zlib.decompress(b64decode(text)), type=Whole)


async def _in_thread_if_long(work: Any, what: Any) -> Any:
    length = len(what) if isinstance(what, str) else len(what.body)
    return work(what) if length <= PACK_HERE_BYTES else await asyncio.to_thread(work, what)
