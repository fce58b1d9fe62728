"""
What the ground floor refuses, and why.

    MeteringError
    ├── BodyNotUnderstood      a field of the body is not what OpenAI documents
    ├── CostNotBounded         a part of the body may cost more than its bytes tell
    ├── ModelNotPriced         the rate card has no such model
    ├── UnitNotPriced          a model's row has no price for a unit that was used
    ├── RateCardWrong          the rate card contradicts itself; the process must not start
    └── TariffWrong            a rule of ours contradicts the rate card

No message carries what a caller wrote into a prompt.
"""

from __future__ import annotations


class MeteringError(Exception):
    """Anything that metering refuses."""


class BodyNotUnderstood(MeteringError):
    """A field of the body is not what OpenAI documents; `param` names it."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class CostNotBounded(MeteringError):
    """`part` of the body may cost more than its bytes tell, so nothing can be held for it."""

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        self.message = f"{part}: {why}"
        super().__init__(self.message)


class ModelNotPriced(MeteringError):
    """The rate card has no such model; an unknown price is never zero."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.message = (
            f"the model {model[:80]!r} is not on the rate card; "
            "GET /v1/models lists the models that are"
        )
        super().__init__(self.message)


class UnitNotPriced(MeteringError):
    """A call used a unit for which its model has no price; that is never zero."""

    def __init__(self, model: str, unit: str) -> None:
        self.model = model
        self.unit = unit
        self.message = f"the rate card has no price for {unit} of the model {model}"
        super().__init__(self.message)


class RateCardWrong(MeteringError):
    """The rate card contradicts itself: `model` and `key` say where."""

    def __init__(self, model: str, key: str, why: str) -> None:
        self.model = model
        self.key = key
        self.message = f"rate card, model {model}, {key}: {why}"
        super().__init__(self.message)


class TariffWrong(MeteringError):
    """A rule of `[features]` or `[models]` contradicts the rate card: `key` says which."""

    def __init__(self, key: str, why: str) -> None:
        self.key = key
        self.message = f"{key}: {why}"
        super().__init__(self.message)
