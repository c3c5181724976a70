"""The one way to an address that somebody outside chose: an edition's, a webhook's.

Such an address must not become a way into our own networks. So: only https, and only to public
addresses, unless the operator allows a network; a name is looked up once, every address it has is
judged, and the connection goes to a judged address, never to the name again; an answer that points
elsewhere is an answer and not followed; what an answer may be is bounded in bytes and in time.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from guilder.chassis.settings import BadSetting, OutboundSettings
from guilder.chassis.wire import Reply, Stream, TooLarge as TooLarge, exchange
from guilder.contracts.edition import LARGEST_ANSWER
from guilder.contracts.errors import AddressRefused

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL: Final = 1_000
HTTPS: Final = 443
FIRST_FREE_PORT: Final = 1024
"""Below it are other protocols' ports; of those https alone is spoken with strangers."""

LOOKUP_THREADS: Final = 8
"""For names that answer, and as many for those that were slow the last time."""
QUICK_S: Final = 1.0
MOST_SLOW: Final = 10_000
"""So many slow names are remembered."""
MOST_ADDRESSES: Final = 8
"""A name with more addresses is not tried at all of them."""

MAX_IDLE: Final = 8
IDLE_SECONDS: Final = 4.0
"""Servers in other languages close an idle connection after five seconds (Node, uvicorn)."""

OLDEST_SECONDS: Final = 60.0
"""A connection older than this is not used again, so that a name that moves is followed."""

NOT_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this network": on many systems the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own, and metadata at one cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public number, inside a cloud its own service
        "169.254.0.0/16",  # link-local, and metadata at most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo and other ways around
        "2001:db8::/32",
        "2002::/16",  # 6to4: holds an IPv4 address
        "3fff::/20",
    )
)
PUBLIC_V6: Final = IPv6Network("2000::/3")
"""All that is given out. Outside: loopback, IPv4 in IPv6, NAT64, unique local, link-local."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<six>[0-9a-fA-F:.]{2,45})\]|(?P<host>[A-Za-z0-9.-]{1,253}))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*)/?"
    r"(?:\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Url:
    """An address as it is meant: small letters, no port that goes without saying, no last slash."""

    scheme: str
    host: str
    """A name, or an IP address without brackets."""
    port: int
    path: str = ""
    query: str = ""
    ip: Ip | None = None
    """Where the host is one."""

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = HTTPS if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query as a request line names them."""
        return (self.path or "/") + (f"?{self.query}" if self.query else "")

    def __str__(self) -> str:
        """The same address always as the same text."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}"


@dataclass(frozen=True)
class Rules:
    """Where the platform sends to: the public internet, and what the operator allows."""

    allow: tuple[Network, ...] = ()
    """Networks that the operator allows although they are not public; http:// only there."""

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read GUILDER_OUTBOUND_ALLOW; BadSetting for what is no network."""
        text = OutboundSettings.load(env).allow
        parts = [part for part in (piece.strip() for piece in text.split(",")) if part]
        try:
            return cls(tuple(ip_network(part) for part in parts))
        except ValueError as error:
            raise BadSetting(f"GUILDER_OUTBOUND_ALLOW is {text!r}: {error}") from None

    def check(self, url: str) -> Url:
        """Read an address; AddressRefused for what is none, or says where we do not send.

        Looks nothing up: the addresses behind a name are judged when it is used.
        """
        found = _URL.fullmatch(url) if len(url) <= LONGEST_URL else None
        if found is None:
            raise AddressRefused("this is no address of the form https://host/path")
        scheme, query = found["scheme"], found["query"] or ""
        ip = _ip(found["six"] or found["host"], six=found["six"] is not None)
        host = str(ip) if ip is not None else found["host"].lower()
        port = int(found["port"]) if found["port"] else (HTTPS if scheme == "https" else 80)
        if not 0 < port < 65536:
            raise AddressRefused(f"there is no port {port}")
        if any(set(part) == {"."} for part in re.sub("%2[eE]", ".", found["path"]).split("/")[1:]):
            raise AddressRefused("an address climbs no folders: no . and .. in its path")
        read = Url(scheme, host, port, found["path"], query, ip)
        if scheme == "http" and not self.allow:
            raise AddressRefused("an address outside the operator's networks begins with https://")
        if ip is not None:
            self.judge(read, ip)
        return read

    def judge(self, url: Url, ip: Ip) -> None:
        """AddressRefused unless a request to `url` may go to this one of its addresses."""
        if any(ip in network for network in self.allow):
            return
        public = ip.version == 4 or ip in PUBLIC_V6
        if not public or any(ip in network for network in NOT_PUBLIC):
            raise AddressRefused(f"{url.host} is not on the public internet")
        if url.scheme != "https":
            raise AddressRefused("an address on the public internet begins with https://")
        if url.port < FIRST_FREE_PORT and url.port != HTTPS:
            raise AddressRefused(f"port {url.port} is another protocol's")


def _ip(host: str, *, six: bool) -> Ip | None:
    """The IP address that a host is; None for a name; AddressRefused for what could be both.

    127.1, 2130706433, 0x7f000001 and 0177.0.0.1 are loopback to some and names to others.
    """
    try:
        found = ip_address(host)
    except ValueError:
        found = None
    if found is not None and (found.version == 6) == six:
        return found
    last = host.rpartition(".")[2]
    if six or not _NAME.fullmatch(host.lower()) or re.match(r"[0-9]+$|0[xX]", last):
        raise AddressRefused(f"{host!r} is neither a name nor an address")
    return None


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, for a port."""


class Lookups:
    """Looks names up in threads of its own; a name that hangs holds one of them, however often.

    A name that hung waits from then on behind others that did, until it answers quickly again: so
    whoever owns many such names is in nobody else's way.
    """

    def __init__(self) -> None:
        """Starts no thread before it is needed."""
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, "lookup")
        self._patient = ThreadPoolExecutor(LOOKUP_THREADS, "lookup-slow")
        self._slow: dict[str, None] = {}
        self._running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """Every address of a name; OSError where it has none."""
        key = host, port
        if key not in self._running:
            loop = asyncio.get_running_loop()
            threads = self._patient if host in self._slow else self._threads
            found = loop.run_in_executor(threads, self._look, host, port)
            found.add_done_callback(lambda done: self._forget(key, done))
            self._running[key] = found
        return await asyncio.shield(self._running[key])

    def _look(self, host: str, port: int) -> list[str]:
        """In a thread; the time in the queue before does not count."""
        began = time.monotonic()
        try:
            return _addresses(host, port)
        finally:
            if time.monotonic() - began < QUICK_S:
                self._slow.pop(host, None)
            elif len(self._slow) < MOST_SLOW:
                self._slow[host] = None

    def _forget(self, key: tuple[str, int], done: "asyncio.Future[list[str]]") -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # whoever asked may be gone

    def close(self) -> None:
        """Wait for nothing."""
        for threads in (self._threads, self._patient):
            threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(line[4][0]) for line in found))


@dataclass
class _Kept:
    """A connection between two requests."""

    stream: Stream
    made: float
    since: float = field(default_factory=time.monotonic)

    @property
    def fresh(self) -> bool:
        """Whether another request may go over it."""
        reader, writer = self.stream
        now = time.monotonic()
        young = now - self.since < IDLE_SECONDS and now - self.made < OLDEST_SECONDS
        # what came unasked (a 408 before hanging up) would be taken for the next answer
        unasked = bool(getattr(reader, "_buffer", b""))
        return young and not unasked and not reader.at_eof() and not writer.is_closing()


class Outbound:
    """Requests to addresses that somebody outside chose, by the rules."""

    def __init__(
        self, rules: Rules, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """`resolve` looks names up; `tls` says whom to trust, by default whom the system trusts."""
        self.rules = rules
        self._lookups = Lookups()
        self._resolve = resolve or self._lookups
        self._tls = tls
        self._idle: dict[tuple[str, str], list[_Kept]] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float,
        most: int = LARGEST_ANSWER,
        repeatable: bool = False,
    ) -> Reply:
        """Send one request and read its answer, whatever its status: no redirect is followed.

        `timeout_s` is for everything together, from the look-up to the last byte; `most` for the
        answer's body, in bytes. Only a `repeatable` request goes over a connection that was kept,
        and is sent once more, on a new one, when that ends before any byte of an answer.
        AddressRefused, OSError (TooLarge among them) or TimeoutError.
        """
        to = self.rules.check(url)
        data = _head(method, to, headers, len(body)) + body
        async with asyncio.timeout(timeout_s):
            kept = self._kept(to) if repeatable else None
            if kept is not None:
                reply = Reply(most=most)
                try:
                    return await self._over(to, kept, data, reply)
                except OSError:
                    if reply.began:
                        raise
            fresh = _Kept(await self._connect(to), time.monotonic())
            return await self._over(to, fresh, data, Reply(most=most))

    async def _over(self, to: Url, over: _Kept, data: bytes, reply: Reply) -> Reply:
        """Exchange over a connection, and keep it if it can be used again."""
        try:
            await exchange(over.stream, data, reply)
        except BaseException:
            over.stream[1].transport.abort()
            raise
        place = self._idle.setdefault((to.scheme, to.authority), [])
        if reply.keep_alive and not self._closed and len(place) < MAX_IDLE:
            place.append(kept := _Kept(over.stream, over.made))
            asyncio.get_running_loop().call_later(IDLE_SECONDS, self._drop, to, kept)
        else:
            over.stream[1].close()
        return reply

    def _kept(self, to: Url) -> _Kept | None:
        place = self._idle.get((to.scheme, to.authority), [])
        while place:
            kept = place.pop()
            if kept.fresh:
                return kept
            kept.stream[1].close()
        return None

    def _drop(self, to: Url, kept: _Kept) -> None:
        """Close a connection that nobody has used meanwhile."""
        place = self._idle.get((to.scheme, to.authority), [])
        if any(one is kept for one in place):
            kept.stream[1].close()
        left = [one for one in place if one is not kept]
        if left:
            self._idle[to.scheme, to.authority] = left
        else:
            self._idle.pop((to.scheme, to.authority), None)

    async def _connect(self, to: Url) -> Stream:
        """Look up once, judge every address, connect to the first judged one that answers."""
        texts = [str(to.ip)] if to.ip is not None else await self._resolve(to.host, to.port)
        found = [_number(text) for text in texts]
        for ip in found:  # one bad address among them, and none is tried
            self.rules.judge(to, ip)
        error = OSError(f"{to.host} has no address")
        for ip in found[:MOST_ADDRESSES]:
            try:
                return await self._open(to, ip)
            except ssl.SSLError:
                raise
            except OSError as failed:
                error = failed
        raise error

    async def _open(self, to: Url, ip: Ip) -> Stream:
        made = socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(made, (str(ip), to.port))
            if to.scheme == "http":
                return await asyncio.open_connection(sock=made)
            if self._tls is None:
                self._tls = ssl.create_default_context()
            return await asyncio.open_connection(sock=made, ssl=self._tls, server_hostname=to.host)
        except BaseException:
            made.close()
            raise

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as its answer is there."""
        self._closed = True
        for kept in (one for place in self._idle.values() for one in place):
            kept.stream[1].close()
        self._idle.clear()
        self._lookups.close()


def _number(text: str) -> Ip:
    """An address as the system gives it; one with a zone is link-local, and no way out."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        raise OSError(f"{text!r} is no address") from None


def _head(method: str, to: Url, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{method} {to.target} HTTP/1.1", f"Host: {to.authority}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any(re.search(r"[\r\n\0]", line) for line in lines):
        raise ValueError("a header holds the end of a line")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
