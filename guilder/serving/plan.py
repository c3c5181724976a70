"""What one process runs and where everything is: from settings alone.

The embedded platform makes the same plans from its data directory (guilder/embedded.py).
"""

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guilder.chassis.call import PROCESS, callees, callers
from guilder.chassis.store import ConnectArgs
from guilder.chassis.token import CallKeys, PairKeys
from guilder.chassis.wire import Address
from guilder.contracts.catalogue import all_contracts
from guilder.serving.settings import ServeSettings

GATEWAY = "gateway"
BACKLOG = 1024
"""Connections that wait in a listening socket's queue while nobody takes them."""


class ServeError(RuntimeError):
    """A process cannot be run as it is set; the text says what to do."""


@dataclass(frozen=True)
class Plan:
    """One process."""

    name: str
    """What it is called in logs and metrics."""
    services: tuple[str, ...]
    private: socket.socket
    """Where calls of our own processes come in, and questions after health and metrics."""
    keys: CallKeys
    secrets: Path
    peers: Callable[[str], Address]
    """Where a contract's stock edition is that does not run here."""
    connect: Mapping[str, ConnectArgs] = field(default_factory=dict)
    public: socket.socket | None = None
    """Where the public API comes in, if the gateway runs here."""
    linger_s: float = 5.0
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def names() -> list[str]:
    """What can be run as a process of its own."""
    return [GATEWAY, *all_contracts()]


def from_settings(name: str, env: Mapping[str, str]) -> Plan:
    """The plan of one part; ServeError names the setting that is absent or wrong."""
    try:
        settings = ServeSettings.load(env)
        peers = read_peers(settings.peers)
        keys = PairKeys(json.loads(Path(settings.keys).read_text("utf-8")))
    except FileNotFoundError as error:
        raise ServeError(
            f"the call keys are not in {error.filename}; `guilder keys {name}` prints them"
        ) from error
    except (ValueError, AttributeError) as error:
        raise ServeError(f"a setting cannot be read: {error}") from error
    for wanted in ("listen",) if name == GATEWAY else ("listen", "database"):
        if not getattr(settings, wanted):
            raise ServeError(f"set GUILDER_SERVE_{wanted.upper()}: see `guilder serve --help`")
    gateway = name == GATEWAY
    return Plan(
        name=name,
        services=() if gateway else (name,),
        private=listen(settings.listen),
        keys=keys,
        secrets=Path(settings.secrets),
        peers=peers,
        connect={} if gateway else {name: {"dsn": settings.database}},
        public=listen(settings.public) if gateway else None,
        linger_s=settings.linger_s,
        env=env,
    )


def listen(text: str) -> socket.socket:
    """Open a listening socket at `unix:/path` or `http://host:port`; ServeError if it cannot be."""
    try:
        address = Address.read(text)
        if address.path is None:
            return socket.create_server((address.host, address.port), backlog=BACKLOG)
        return listen_unix(Path(address.path))
    except (OSError, ValueError) as error:
        raise ServeError(f"{text} cannot be listened at: {error}") from error


def listen_unix(path: Path) -> socket.socket:
    """Open a unix socket that its owner alone may enter; what lay there before is removed."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(path))
        path.chmod(0o600)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def read_peers(text: str) -> Callable[[str], Address]:
    """Read `*=unix:/run/{name}.sock,ledger=http://host:port`; ValueError for what is not one."""
    book: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, address = part.partition("=")
        if not equals or name not in ("*", *all_contracts()):
            raise ValueError(f"{part!r} in GUILDER_SERVE_PEERS is not NAME=ADDRESS")
        Address.read(address.replace("{name}", "x"))
        book[name] = address

    def where(contract: str) -> Address:
        found = book.get(contract, book.get("*", ""))
        return Address.read(found.replace("{name}", contract))

    return where


def pair_keys(root: CallKeys, name: str) -> dict[str, str]:
    """The call keys that a process needs: of whom it calls and of who calls it."""
    pairs = {(caller, callee) for caller in (name, PROCESS) for callee in callees(caller)}
    if name != GATEWAY:
        pairs |= {(caller, name) for caller in callers(name)}
    return {f"{one}>{two}": root.key(one, two).hex() for one, two in sorted(pairs)}
