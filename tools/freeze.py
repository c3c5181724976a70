"""Freezes the present version of contracts: from then on it never changes.

    python -m tools.freeze pricing screening notifications

Set the version of the contract first, as `version="1.0.0"`. What is frozen already is left alone;
where it differs, nothing is written and the differences are named.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from guilder.chassis.changes import changes
from guilder.chassis.versions import Versions, document
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.declare import Contract

CONTRACTS = Path(__file__).resolve().parent.parent / "guilder" / "contracts"


def freeze(contract: type[Contract], contracts: Path, today: str) -> str:
    """Write document and day of a contract's version; the sentence to print.

    SystemExit where it is a draft or was frozen as something else.
    """
    name, version = contract.contract_name, contract.contract_version
    if version.endswith("-draft"):
        raise SystemExit(f'{name} is {version}: set version="{version.removesuffix("-draft")}"')
    path, present = contracts / name / "openapi" / f"{name}-{version}.json", document(contract)
    if path.exists():
        if found := changes(json.loads(path.read_text("utf-8")), present):
            raise SystemExit(
                f"{name} {version} is frozen already and has changed since:\n"
                + "\n".join(f"  {change.operation}: {change.text}" for change in found)
            )
        return f"{name} {version} was frozen before and is as it was"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(present, indent=1, ensure_ascii=False) + "\n", "utf-8")
    book = contracts / "versions.toml"
    text = book.read_text("utf-8")
    if version not in Versions(text).released(name):
        book.write_text(f'{text}\n[{name}."{version}"]\nreleased = {today}\n', "utf-8")
    return f"{name} {version} is frozen: {path.name}"


def main() -> None:
    """Freeze the contracts that are named."""
    known = all_contracts()
    names = sys.argv[1:]
    if not names or set(names) - set(known):
        raise SystemExit(f"name contracts: {', '.join(known)}")
    for name in names:
        sys.stdout.write(freeze(known[name], CONTRACTS, f"{datetime.now(UTC):%Y-%m-%d}") + "\n")


if __name__ == "__main__":
    main()
