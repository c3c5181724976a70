"""What one process runs and where everything is: from settings alone.

The embedded platform makes the same plans from its data directory (guilder/embedded.py).
"""

import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guilder.chassis.call import PROCESS, call_map, callees, callers
from guilder.chassis.signature import PAIR as EDITIONS
from guilder.chassis.store import ConnectArgs
from guilder.chassis.token import CallKeys, PairKeys
from guilder.chassis.wire import Address
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.errors import Unauthenticated
from guilder.serving.settings import ServeSettings

GATEWAY = "gateway"
BACKLOG = 1024
"""Connections that wait in a listening socket's queue while nobody takes them."""

SUCCEEDED = signal.SIGUSR1
"""Sent to a process whose successor serves already: it may take its time to leave."""


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
    gateway = name == GATEWAY
    try:
        settings = ServeSettings.load(env)
        peers = read_peers(settings.peers)
        for contract in sorted(callee for _, callee in pairs(name) - {EDITIONS} if callee != name):
            peers(contract)
    except ValueError as error:
        raise ServeError(str(error)) from error
    for wanted in ("listen",) if gateway else ("listen", "database"):
        if not getattr(settings, wanted):
            raise ServeError(f"set GUILDER_SERVE_{wanted.upper()}: see `guilder serve --help`")
    keys = _read_keys(name, Path(settings.keys))
    return Plan(
        name=name,
        services=() if gateway else (name,),
        private=listen("GUILDER_SERVE_LISTEN", settings.listen),
        keys=keys,
        secrets=Path(settings.secrets),
        peers=peers,
        connect={} if gateway else {name: {"dsn": settings.database}},
        public=listen("GUILDER_SERVE_PUBLIC", settings.public) if gateway else None,
        linger_s=settings.linger_s,
        env=env,
    )


def _read_keys(name: str, path: Path) -> PairKeys:
    """The call keys of a process, all of them; ServeError where one is absent or is none."""
    how = f"GUILDER_SERVE_KEYS names a file; `guilder keys {name}` prints what belongs into it"
    try:
        keys = PairKeys(json.loads(path.read_text("utf-8")))
        for caller, audience in sorted(pairs(name)):  # two starts complain of the same key
            keys.key(caller, audience)
    except OSError as error:
        raise ServeError(f"{path} cannot be read: {error.strerror}. {how}") from error
    except ValueError as error:
        raise ServeError(f"{path} holds no call keys: {error}. {how}") from error
    except Unauthenticated as problem:
        raise ServeError(f"{path} is of another process: {problem.detail}. {how}") from problem
    return keys


def listen(setting: str, text: str) -> socket.socket:
    """Open a listening socket at `unix:/path` or `http://host:port`; ServeError if it cannot be."""
    try:
        address = Address.read(text)
        if address.path is not None:
            return listen_unix(Path(address.path))
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except (OSError, ValueError) as error:
        raise ServeError(f"{setting}: nothing can listen at {text}: {error}") from error


def listen_unix(path: Path) -> socket.socket:
    """Open a unix socket that its owner alone may enter; a dead one that lay there is removed.

    OSError where something lives there, or where it is no socket at all.
    """
    if path.is_socket():
        _make_sure_that_it_is_dead(path)
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


def _make_sure_that_it_is_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:  # its queue is full
            pass
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def read_peers(text: str) -> Callable[[str], Address]:
    """Read `*=unix:/run/{name}.sock,ledger=http://host:port`; ValueError for what is not one.

    So is, later, what is not in it.
    """
    book: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, address = part.partition("=")
        if not equals or name not in ("*", *all_contracts()):
            raise ValueError(f"{part!r} in GUILDER_SERVE_PEERS is not NAME=ADDRESS of a service")
        try:
            Address.read(address.replace("{name}", "x"))
        except ValueError as error:
            raise ValueError(f"{error} (GUILDER_SERVE_PEERS)") from error
        book[name] = address

    def where(contract: str) -> Address:
        found = book.get(contract, book.get("*"))
        if found is None:
            raise ValueError(f"GUILDER_SERVE_PEERS does not say where {contract} is")
        return Address.read(found.replace("{name}", contract))

    return where


def pairs(name: str) -> set[tuple[str, str]]:
    """Who calls whom (caller, audience), wherever this process is one of the two."""
    found = {(caller, callee) for caller in (name, PROCESS) for callee in callees(caller)}
    if name != GATEWAY:
        found |= {(caller, name) for caller in callers(name)}
    if speaks_with_editions(name):
        found.add(EDITIONS)
    return found


def speaks_with_editions(name: str) -> bool:
    """Whether a process sends to editions: it decides by them, has them deliver, judges them.

    The gateway does not: what strangers may call stays with the stock service.
    """
    bindable = {contract for contract, kind in all_contracts().items() if kind.replaceable()}
    called = call_map()["calls"].get(name, {})
    return name == "registry" or (name != GATEWAY and bool(bindable & called.keys()))


def pair_keys(root: CallKeys, name: str) -> dict[str, str]:
    """The call keys that a process needs: of whom it calls, who calls it, and for editions."""
    return {f"{one}>{two}": root.key(one, two).hex() for one, two in sorted(pairs(name))}
