"""calls.toml is what the code does: who calls whom, who follows whose events, and no circles."""

import ast
from collections import Counter
from importlib import import_module
from pathlib import Path

import house
import pytest

from guilder.books.reading import ALL
from guilder.chassis.bindings import Bindings
from guilder.chassis.call import PROCESS, Calls, callees
from guilder.chassis.clock import Clock
from guilder.chassis.idempotency import Once
from guilder.chassis.process import Built, Parts
from guilder.chassis.seal import Sealer
from guilder.chassis.store import Store
from guilder.chassis.token import CallKeys
from guilder.contracts.declare import Contract


class Asked(Calls):
    """Clients that lead nowhere, and a count of whom they were asked for."""

    def __init__(self, caller: str) -> None:
        super().__init__(caller, {}, Bindings())
        self.asked: Counter[str] = Counter()

    def client(self, contract: type[Contract]) -> Contract:
        self.asked[contract.contract_name] += 1
        return super().client(contract)


class Watched(Parts):
    """Parts that notice whether the sealer was taken."""

    sealed = False

    def __getattribute__(self, name: str) -> object:
        if name == "sealer":
            object.__setattr__(self, "sealed", True)
        return super().__getattribute__(name)


def build(name: str, folder: Path) -> tuple[Built, Counter[str], bool]:
    """Wire a service without a database: what it is built as, whom it asked for, does it seal."""
    clock, calls = Clock(), Asked(name)
    store = Store(name, {}, clock)
    sealer = Sealer(None, clock) if "vault" in callees(name) else None  # type: ignore[arg-type]
    around = (clock, sealer, folder, {}, None, CallKeys(b"test"))
    parts = Watched(name, store, Once(store, sealer), calls, *around)  # type: ignore[arg-type]
    parts.sealed = False
    built = import_module(f"guilder.services.{name}.build").build(parts)
    return built, calls.asked, parts.sealed


def by_chassis(name: str, seals: bool) -> tuple[set[str], set[str]]:
    """Calls and events that the chassis needs in a service's name (process.py)."""
    operations = house.own_operations(house.contracts()[name]).values()
    calls: set[str] = set()
    if name != "access" and any(o.public and o.may and o.on != "inside" for o in operations):
        calls.add("access")  # its guard asks
    if seals or any(o.subject for o in operations):
        calls.add("vault")  # its sealer, or that of the stored answers, asks
    return calls, {"access"} if any(o.four_eyes for o in operations) else set()


@pytest.mark.parametrize("name", house.services())
def test_a_service_calls_and_follows_what_is_listed(name, tmp_path):
    built, asked, seals = build(name, tmp_path)
    followed = Counter(f.source.contract_name for f in built.followers)
    calls, events = by_chassis(name, seals)
    listed = house.calls_toml()
    assert set(asked - followed) | calls == set(listed["calls"].get(name, {}))
    assert set(followed) | events == set(listed["events"].get(name, {}))


def asked_in(*folders: str) -> set[str]:
    """Contracts whose class is handed to `.client(...)` below these folders."""
    by_class = {c.__name__: name for name, c in house.contracts().items()}
    found = {
        ast.unparse(call.args[0]).rpartition(".")[2]
        for path in house.python_files(*(house.SOURCE / folder for folder in folders))
        for call in house.calls_of(house.tree(path), "client")
    }
    return {by_class[name] for name in found if name in by_class}


def test_the_gateway_calls_what_is_listed():
    offered = {o.contract for o in house.operations() if o.public}
    assert asked_in("gateway") | offered == set(house.calls_toml()["calls"]["gateway"])


def test_the_tools_call_what_is_listed():
    """Import and export name whom they call; verify asks every service to check itself."""
    asked = asked_in("cli", "importing", "books", "bench")
    assert asked | set(ALL) == set(house.calls_toml()["calls"]["tools"])


def test_a_process_itself_calls_what_is_listed():
    """It follows the directory; what else it does, it does in the name of a service."""
    asked = [
        ast.unparse(call.args[0]).lower()
        for call in house.calls_of(house.tree(house.SOURCE / "chassis" / "process.py"), "client")
        if ast.unparse(call.func) == "self.calls(PROCESS).client"
    ]
    assert asked == list(house.calls_toml()["calls"][PROCESS])


def test_nobody_unknown_is_listed():
    known = set(house.contracts())
    calls, events = house.calls_toml()["calls"], house.calls_toml()["events"]
    assert set(calls) <= known | {"gateway", "tools", "process"}
    assert set(events) <= known
    assert {t for part in (calls, events) for line in part.values() for t in line} <= known


def test_every_line_has_its_reason():
    for part in house.calls_toml().values():
        for caller, lines in part.items():
            for callee, reason in lines.items():
                assert len(reason) >= 5, f"{caller} → {callee}"


def test_a_service_calls_itself_only_where_an_edition_may_answer():
    """Whoever is bound must be asked, and only the clients know who that is."""
    replaceable = {o.contract for o in house.operations() if o.replaceable}
    own = {caller for caller, lines in house.calls_toml()["calls"].items() if caller in lines}
    assert own <= replaceable


def graph() -> dict[str, set[str]]:
    """Calls and events together; one's own log or bound edition is no circle."""
    edges: dict[str, set[str]] = {}
    for part in house.calls_toml().values():
        for caller, lines in part.items():
            edges.setdefault(caller, set()).update(set(lines) - {caller})
    return edges


def test_calls_and_events_make_no_circle():
    assert house.cycle(graph()) == []
    assert house.cycle(graph() | {"vault": {"parties"}})
