"""The contracts of this platform, read from the code, so that no list is typed twice."""

import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import guilder.contracts
from guilder.contracts.declare import Contract


@cache
def contracts() -> tuple[type[Contract], ...]:
    """Every contract, by name; one a package below `guilder.contracts`."""
    packages = [m.name for m in pkgutil.iter_modules(guilder.contracts.__path__) if m.ispkg]
    found = [c for name in packages for c in _declared(f"guilder.contracts.{name}.v1")]
    return tuple(sorted(found, key=lambda contract: contract.contract_name))


def _declared(module: str) -> Iterator[type[Contract]]:
    for value in vars(import_module(module)).values():
        if isinstance(value, type) and issubclass(value, Contract) and value.__module__ == module:
            yield value
