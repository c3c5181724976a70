"""Which release serves a contract for a tenant, as this process last heard."""

from collections.abc import Callable, Iterable

import msgspec

from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Contract
from guilder.contracts.registry.v1 import Bound, OnFailure


class Binding(msgspec.Struct, frozen=True):
    """Which edition and version serves a contract for a tenant; `address` None = stock.

    `generation` is that of the directory when the binding took effect, 0 where there is none.
    """

    contract: str
    edition: str = "A"
    version: str = "1.0.0"
    generation: int = 0
    address: str | None = None
    on_failure: OnFailure = "closed"
    fallback: bool = False
    """Whether stock answered because the release that is bound did not."""

    @property
    def label(self) -> str:
        """`pricing A.1.0.0`, as recorded on decisions."""
        return f"{self.contract} {self.edition}.{self.version}{' (fallback)' * self.fallback}"


class Bindings:
    """The bindings in force; everything unnamed is the stock edition A."""

    def __init__(self) -> None:
        """Start with stock for everyone."""
        self._bound: dict[tuple[int, str], Binding] = {}
        self._stock: dict[str, Binding] = {}
        self.contracts: set[str] = set()
        """Those of which any tenant is bound to a release."""
        self._watchers: list[Callable[[set[str]], None]] = []

    def replace(self, bound: Iterable[Bound]) -> None:
        """Put others in force, all at once; calls in flight end where they began."""
        self._bound = {
            (line.tenant, line.contract): Binding(
                line.contract,
                line.edition,
                line.version,
                line.generation,
                line.address,
                line.on_failure,
            )
            for line in bound
        }
        self.contracts = {contract for _, contract in self._bound}
        used = {binding.address for binding in self._bound.values() if binding.address is not None}
        for watcher in self._watchers:
            watcher(used)

    def watch(self, watcher: Callable[[set[str]], None]) -> None:
        """Tell of the addresses in use, whenever others are put in force."""
        self._watchers.append(watcher)

    def resolve(self, tenant: int, contract: str) -> Binding:
        """The binding in force now."""
        return self._bound.get((tenant, contract)) or self.stock(contract)

    def stock(self, contract: str) -> Binding:
        """The stock release, as this process' own tree names it."""
        if contract not in self._stock:
            release = all_contracts().get(contract, Contract).release
            self._stock[contract] = Binding(contract, version=release)
        return self._stock[contract]
