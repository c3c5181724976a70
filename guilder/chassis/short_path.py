"""A short path to a folder of unix sockets: an address holds about a hundred bytes, no more.

Where the folder's own path is too long, a symbolic link in a private temporary folder leads there.
It is remembered in a note beside the folder and made again whenever it is missing.
"""

import os
import tempfile
from pathlib import Path

ADDRESS_BYTES = 103
"""The longest path of a socket on every system we run on (Linux 107, macOS 103)."""


def to(folder: Path, longest: str, note: Path) -> str:
    """The folder's path, or a link's, short enough for a socket named `longest` in it."""
    if len(os.fsencode(folder / longest)) <= ADDRESS_BYTES:
        return str(folder)
    link = Path(note.read_text()) if note.exists() else None
    kept = link is not None and _is_private(link.parent) and link.is_symlink()
    if link is not None and kept and link.readlink() == folder:
        return str(link)
    base = next(path for path in (tempfile.gettempdir(), "/tmp") if len(os.fsencode(path)) < 50)
    link = Path(tempfile.mkdtemp(prefix="guilder-", dir=base)) / "socket"
    link.symlink_to(folder)
    draft = note.with_name(f"{note.name}.{link.parent.name}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(str(link))
    draft.replace(note)  # whole, however many make one at the same time
    return str(link)


def forget(note: Path) -> None:
    """Remove the link, if there is one."""
    if note.exists():
        link = Path(note.read_text())
        if _is_private(link.parent):
            link.unlink(missing_ok=True)
            link.parent.rmdir()
        note.unlink()


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and status.st_mode & 0o777 == 0o700
