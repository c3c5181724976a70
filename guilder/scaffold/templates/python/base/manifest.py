"""What this edition says of itself, with a digest of what really runs."""

import hashlib
from pathlib import Path
from typing import Any

import edition

HERE = Path(__file__).resolve().parent


def read_manifest() -> dict[str, Any]:
    """The document of `/.well-known/guilder-edition`."""
    return {
        "contract": edition.CONTRACT,
        "contract_version": edition.CONTRACT_VERSION,
        "edition": edition.EDITION,
        "version": edition.VERSION,
        "digest": digest(),
        "disclaims": edition.DISCLAIMS,
    }


def banner(manifest: dict[str, Any]) -> str:
    """The value of the header `Guilder-Edition`."""
    release = f"{manifest['edition']}.{manifest['version']}"
    return f"{manifest['contract']} {release} {manifest['digest']}"


def digest() -> str:
    """SHA-256 over the modules that run and the requirements: names and contents."""
    whole = hashlib.sha256()
    runs = [path for path in HERE.glob("*.py") if not path.name.startswith("test_")]
    for path in sorted([*runs, HERE / "requirements.txt"]):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.name} {content}\n".encode())
    return f"sha256:{whole.hexdigest()}"
