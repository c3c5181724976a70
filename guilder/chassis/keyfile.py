"""Private files (0600) that hold a secret, made once, also when two processes start together."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def private_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a file; `make` gives it when the file is absent. Folders are made 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _write_new(path, make())
    content = path.read_bytes()
    if not content:
        raise OSError(f"{path} is empty: restore it from the backup of the secrets folder")
    return content


def _write_new(path: Path, content: bytes) -> None:
    """Write durably beside the place, then link: whoever links first has made the file."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
