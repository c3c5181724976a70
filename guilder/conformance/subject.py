"""What a suite has to know of its contract: what may be asked, and what gives somebody away."""

import random
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from guilder.conformance.checks import Check
from guilder.contracts.declare import Contract, Operation
from guilder.contracts.edition import MOST_ITEMS, Manifest


@dataclass(frozen=True)
class Marked:
    """A question that holds something which no other answer may hold."""

    request: Any
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Subject(ABC):
    """One contract, as its suite sees it (conformance/pricing.py and its siblings)."""

    contract: type[Contract]
    checks: tuple[Check, ...] = ()
    """What only this contract promises."""
    most: int = MOST_ITEMS
    """The most items that are asked in one batch."""
    harmless: bool = True
    """Whether asking anything at all has no effect outside."""

    @property
    def name(self) -> str:
        """The contract's name."""
        return self.contract.contract_name

    @property
    def operation(self) -> Operation:
        """The one operation that an edition answers."""
        return self.contract.replaceable()[0]

    def ready(self) -> AbstractContextManager["Subject"]:
        """The subject of one run, with what it needs around it."""
        return nullcontext(self)

    def heard(self, manifest: Manifest) -> str:
        """Take note of what the edition says of itself; a sentence on what cannot be, or ""."""
        return ""

    @abstractmethod
    def questions(self, chance: random.Random, count: int) -> list[Any]:
        """So many different questions that the contract allows and that can be answered."""

    @abstractmethod
    def marked(self, chance: random.Random) -> Marked:
        """A question of which nobody else may hear."""

    @abstractmethod
    def may_refuse(self, request: Any, code: str) -> bool:
        """Whether this question, although of the right shape, may be answered with this problem."""

    @abstractmethod
    def tame(self, item: dict[str, Any]) -> dict[str, Any]:
        """The nearest item that the contract allows; made up by schema, it has the right shape."""

    def held(self, body: Any) -> Any:
        """The same body, with nobody outside in it who could be reached if it were not refused."""
        return body

    @abstractmethod
    def bad(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """Items that the contract does not allow, made from one that it does."""
