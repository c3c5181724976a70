"""Every contract there is, found by folder."""

import pkgutil
from functools import cache
from importlib import import_module

import guilder.contracts
from guilder.contracts.declare import Contract


@cache
def all_contracts() -> dict[str, type[Contract]]:
    """The present major version of each contract by name, in alphabetical order."""
    found: dict[str, type[Contract]] = {}
    for module in pkgutil.iter_modules(guilder.contracts.__path__):
        if module.ispkg:
            v1 = import_module(f"guilder.contracts.{module.name}.v1")
            found[module.name] = next(
                kind
                for kind in vars(v1).values()
                if isinstance(kind, type)
                and issubclass(kind, Contract)
                and kind.contract_name == module.name
            )
    return dict(sorted(found.items()))
