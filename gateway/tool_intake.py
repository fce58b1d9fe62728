"""
Calls about objects that cost by the use: a container that is made, a search.

They go the main path, held, forwarded, charged and recorded like every other call; only what
is before the hold is different, because they name no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from gateway.authenticate import Authenticate
from gateway.endpoints import Endpoint
from gateway.errors import GatewayError, Overloaded
from gateway.intake import Intake
from gateway.metered_call import MeteredCall
from gateway.object_asked import read_asked
from gateway.object_calls import ObjectCalls
from gateway.objects import PRICED, ObjectOperation
from gateway.owning import Owning
from gateway.permission import check_model
from gateway.quote import Quotes
from gateway.read_call import Headers, Labels, Receive, read_body, read_labels, read_name
from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.meter import Meter
from metering.meters.tool_uses import ToolUses
from metering.rates import RateCard
from metering.tariff import Tariff
from metering.usage import Unit
from storage.ids import new_id
from storage.keys import KeyHolder

TOOL_METERS: dict[str, ToolUses] = {
    "containers.create": ToolUses(Unit.CONTAINERS, stores=True),
    "vector_stores.search": ToolUses(Unit.FILE_SEARCHES),
}
"""Name of an operation → its meter."""

METERS_OF_TOOLS: dict[str, Meter] = dict(TOOL_METERS)


@dataclass(frozen=True, slots=True)
class ToolEndpoint(Endpoint):
    """One call's own endpoint: the path has its ids in it."""

    operation: ObjectOperation = PRICED[0]
    ids: dict[str, str] = field(default_factory=dict)
    query: bytes = b""


def tool_endpoint(operation: ObjectOperation, ids: dict[str, str], query: bytes) -> ToolEndpoint:
    """The endpoint of one call."""
    return ToolEndpoint(
        operation.name,
        operation.method,
        operation.path_of(ids),
        TOOL_METERS[operation.name],
        operation=operation,
        ids=ids,
        query=query,
    )


class ToolIntake(Intake):
    """Reads these calls."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        quotes: Quotes,
        owning: Owning,
        admits: Callable[[], bool],
        body_max_bytes: int,
        objects: ObjectCalls,
        card: Callable[[], RateCard],
        tariff: Tariff,
    ) -> None:
        super().__init__(
            authenticate=authenticate,
            quotes=quotes,
            owning=owning,
            admits=admits,
            body_max_bytes=body_max_bytes,
        )
        self._objects = objects
        self._card = card
        self._tariff = tariff

    async def read(self, headers: Headers, receive: Receive, endpoint: Endpoint) -> MeteredCall:
        """
        The call with its quote; nothing is held yet.

        Raises: As `Intake.read`; ObjectUnknown.
        """
        assert isinstance(endpoint, ToolEndpoint)
        begun, headers = monotonic(), list(headers)
        holder = await self._authenticate(headers)
        self._objects.admit(holder, endpoint.operation)
        if not self._admits():
            raise Overloaded("finished calls are waiting to be stored; try again in a moment")
        body = await read_body(headers, receive, most_bytes=self._body_max_bytes)
        asked = read_asked(endpoint.operation, endpoint.ids, endpoint.query, headers, body)
        await self._objects.judge(asked, holder)
        fields = asked.fields or {}
        labels = read_labels(headers, fields, holder.default_feature)
        model = self._priced_by(TOOL_METERS[endpoint.name].unit, holder, labels)
        call = Call(endpoint.name, model, fields, streams=False, body_bytes=len(body))
        quote = self._quotes.quote(call, holder, labels)
        await self._owning.must_be_there(call, holder)
        name = read_name(headers, endpoint, b"%b\0%b" % (endpoint.path.encode(), body), labels)
        return MeteredCall(new_id(), holder, quote, self._quotes, begun=begun, name=name)

    def _priced_by(self, unit: Unit, holder: KeyHolder, labels: Labels) -> str:
        """A model of the key's whose row prices the use; all rows have the same price for it."""
        for id, row in sorted(self._card().models.items()):
            rate = row.tier("default")
            if "chat" not in row.serves or rate is None or not rate.prices(unit):
                continue
            try:
                check_model(id, row, tariff=self._tariff, holder=holder, rule=None, labels=labels)
            except GatewayError:
                continue
            return id
        raise CostNotBounded(unit.value, "no model that this key may use has a price for it")
