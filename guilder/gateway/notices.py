"""What is deprecated says so in every answer: `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""

from guilder.chassis.clock import Clock
from guilder.chassis.versions import Life, Versions, versions
from guilder.contracts.declare import Contract


class Notices:
    """The headers of operations that go, by the operation's id."""

    def __init__(
        self, contracts: list[type[Contract]], clock: Clock, book: Versions | None = None
    ) -> None:
        """`book` says what is deprecated; left out: `versions.toml`."""
        self._clock, book = clock, book or versions()
        self._lives: dict[str, Life] = {
            operation.id: life
            for contract in contracts
            for operation in contract.operations().values()
            if operation.public
            and (life := book.life(operation, contract.contract_version)).deprecated is not None
        }

    def headers(self, operation: str) -> dict[str, str]:
        """What to add to an answer of an operation; mostly nothing."""
        life = self._lives.get(operation)
        if life is None:
            return {}
        return life.headers(f"/docs#{operation}", self._clock.now().date())
