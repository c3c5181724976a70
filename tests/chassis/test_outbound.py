"""Addresses that somebody outside chose: where nothing is sent, and what an answer may be."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, strategies as st

from guilder.chassis import outbound as module
from guilder.chassis.outbound import Lookups, Outbound, Rules, TooLarge
from guilder.chassis.settings import BadSetting
from guilder.contracts.errors import AddressRefused, InvalidRequest


def _ipv6():
    with socket.socket(socket.AF_INET6) as trying:
        try:
            trying.bind(("::1", 0))
        except OSError:
            return False
    return True


IPV6 = socket.has_ipv6 and _ipv6()
LOOPBACK = Rules((ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# ---- addresses as they are written


@pytest.mark.abuse(61)
@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.8.9.10",
        "https://localhost.127.0.0.1",
        "https://0.0.0.0",
        "https://10.1.2.3",
        "https://172.31.0.1",
        "https://192.168.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://168.63.129.16",
        "https://100.100.100.200",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://192.0.0.192",
        "https://[::]",
        "https://[::1]",
        "https://[fe80::1]",
        "https://[fd00:ec2::254]",
        "https://[ff02::1]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[::127.0.0.1]",
        "https://[2002:7f00:1::]",
        "https://[64:ff9b::7f00:1]",
        "https://[64:ff9b:1::7f00:1]",
        "https://[2001:0:7f00:1::]",
        "https://[fe80::1%25eth0]",
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.0.0.1",
        "https://0177.0.0.1",
        "https://127.1",
        "https://127.0.0.01",
        "https://1.2.3.4.5",
        "https://user@example.com",
        "https://user:secret@example.com",
        "https://example.com@127.0.0.1",
        "https://example.com#@127.0.0.1",
        "https://example.com\\@127.0.0.1",
        "https://example.com/a\r\nHost: x",
        "https://example.com/ a",
        "https://example.com/../admin",
        "https://example.com/%2e%2E/admin",
        "https://example.com:22",
        "https://8.8.8.8:25",
        "https://8.8.8.8:0",
        "https://8.8.8.8:65536",
        "https://8.8.8.8:99999",
        "http://example.com",
        "http://8.8.8.8",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "unix:/run/x.sock",
        "//example.com",
        "https://",
        "https:///path",
        "https://ex_ample.com",
        "https://exämple.com",
        "https://127。0。0。1",
        "https://١٢٧.0.0.1",
        "https://-x.com",
        "https://example..com",
        "https://[example.com]",
        "https://[127.0.0.1]",
        "https://example.com/" + "x" * 1000,
        "",
    ],
)
async def test_nothing_is_sent_there(url):
    async def never(host, port):
        # what hangs on the name's addresses is refused when they are known
        return ["93.184.216.34"]

    with pytest.raises(AddressRefused) as refused:
        await Outbound(Rules(), never).request("GET", url, {}, b"", timeout_s=5)
    assert isinstance(refused.value, InvalidRequest)
    assert refused.value.code == "address-refused"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://Example.COM", "https://example.com"),
        ("https://example.com:443/", "https://example.com"),
        ("https://example.com:8443/base/v1/", "https://example.com:8443/base/v1"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://[2606:2800:220:0:0:0:0:1]:8443/x", "https://[2606:2800:220::1]:8443/x"),
        ("https://example.com/hook?token=a%20b&c=1", "https://example.com/hook?token=a%20b&c=1"),
        ("https://1.example.2x.com", "https://1.example.2x.com"),
    ],
)
def test_the_same_address_is_always_the_same_text(url, meant):
    assert str(Rules().check(url)) == meant
    assert Rules().check(meant) == Rules().check(url)


@pytest.mark.abuse(61)
@given(st.ip_addresses())
def test_only_what_the_registries_call_global_is_public(ip):
    """The list of ours against Python's, made from IANA's registries by somebody else."""
    url = Rules().check("https://example.com")
    try:
        Rules().judge(url, ip)
    except AddressRefused:
        return
    assert ip.is_global
    wrong = ip.is_multicast, ip.is_reserved, ip.is_link_local, ip.is_unspecified
    assert not any(wrong)


def test_the_operator_allows_networks_and_there_http():
    rules = Rules.load({"GUILDER_OUTBOUND_ALLOW": " 127.0.0.0/8 , ::1/128,"})
    for url in ("http://127.0.0.1:8080", "https://127.0.0.1:22", "http://[::1]:80/x"):
        rules.check(url)
    for url in ("http://10.0.0.1", "https://10.0.0.1", "http://[::ffff:127.0.0.1]"):
        with pytest.raises(AddressRefused):
            rules.check(url)
    assert Rules.load({}) == Rules()
    for text in ("10.0.0.1/8", "example.com", "10.0.0.0/33"):
        with pytest.raises(BadSetting, match="GUILDER_OUTBOUND_ALLOW"):
            Rules.load({"GUILDER_OUTBOUND_ALLOW": text})


# ---- names, and what stands behind them


class Names:
    """A resolver whose n-th answer is the n-th of the given, then the last one again."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@asynccontextmanager
async def server(*replies, address="127.0.0.1", tls=None, forever=False):
    """Answers the n-th request with the n-th of the given; yields its port and what it got."""
    got, connections = [], []

    async def serve(reader, writer):
        connections.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                got.append(head + await reader.readexactly(length))
                reply = replies[min(len(got), len(replies)) - 1]
                if reply is None:
                    return
                if callable(reply):
                    await reply(writer)
                    return
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    made = await asyncio.start_server(serve, address, 0, ssl=tls)
    got_of = type("Got", (), {"requests": got, "connections": connections})()
    got_of.port = made.sockets[0].getsockname()[1]
    try:
        yield got_of
    finally:
        made.close()
        for writer in connections:
            writer.close()


async def get(out, url, **more):
    return await out.request("GET", url, {}, b"", **{"timeout_s": 5, **more})


@pytest.mark.abuse(61)
async def test_a_name_is_looked_up_once_and_the_judged_address_is_used():
    """DNS rebinding: what the name says a moment later is not asked."""
    async with server(OK) as good, server(OK, address="127.0.0.2") as bad:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        reply = await get(Outbound(LOOPBACK, names), f"http://edition.example:{good.port}/x")
        assert (reply.status, reply.body) == (200, b"ok")
        assert names.asked == [("edition.example", good.port)]
        assert len(good.requests) == 1
        assert bad.connections == []
        assert b"\r\nHost: edition.example:" in good.requests[0]


@pytest.mark.abuse(61)
@pytest.mark.parametrize("inside", ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1%1"])
@pytest.mark.parametrize("first", [True, False])
async def test_one_address_inside_among_those_of_a_name_and_none_is_tried(inside, first):
    async with server(OK) as good:
        answer = [inside, "127.0.0.1"] if first else ["127.0.0.1", inside]
        with pytest.raises(AddressRefused):
            await get(Outbound(LOOPBACK, Names(answer)), f"http://x.example:{good.port}")
        assert good.connections == []


@pytest.mark.abuse(61)
async def test_a_public_name_with_a_loopback_address_is_refused_by_the_systems_resolver_too():
    for name in ("localhost", "localhost.localdomain"):
        try:
            await get(Outbound(Rules()), f"https://{name}:8443")
        except AddressRefused:
            continue
        except OSError:
            assert name != "localhost"  # a name that this machine does not know
            continue
        raise AssertionError("sent to loopback")


async def test_the_next_address_is_tried_where_nobody_listens():
    async with server(OK) as good:
        names = Names(["127.0.0.3", "127.0.0.1"])
        assert (await get(Outbound(LOOPBACK, names), f"http://x.example:{good.port}")).body == b"ok"


async def test_a_name_that_hangs_holds_one_thread_however_often_it_is_asked(monkeypatch):
    import threading

    gate, asked = threading.Event(), []

    def hangs(host, port):
        asked.append(host)
        if host == "slow":
            gate.wait(10)
        return ["127.0.0.1"]

    monkeypatch.setattr(module, "_addresses", hangs)
    lookups = Lookups()
    out = Outbound(LOOPBACK, lookups)
    tries = [get(out, "http://slow:1", timeout_s=0.02) for _ in range(module.LOOKUP_THREADS * 2)]
    ends = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(end) for end in ends} == {TimeoutError}
    assert await lookups("quick", 1) == ["127.0.0.1"]
    assert asked == ["slow", "quick"]
    gate.set()
    lookups.close()


async def test_many_names_that_hang_are_in_nobody_elses_way(monkeypatch):
    """A tenant's twenty names, asked again and again: a name that answers waits once at most."""
    import threading

    gate = threading.Event()

    def hangs(host, port):
        if host.startswith("slow"):
            gate.wait(10)
        return ["127.0.0.1"]

    monkeypatch.setattr(module, "_addresses", hangs)
    monkeypatch.setattr(module, "QUICK_S", 0.0)  # every name is slow by now
    lookups = Lookups()
    names = [f"slow{n}" for n in range(module.LOOKUP_THREADS + 4)]
    gate.set()
    await asyncio.gather(*(lookups(name, 1) for name in names))
    monkeypatch.setattr(module, "QUICK_S", 1.0)
    gate.clear()
    asking = [asyncio.ensure_future(lookups(name, 1)) for name in names]
    async with asyncio.timeout(5):
        assert await lookups("quick", 1) == ["127.0.0.1"]
    gate.set()
    await asyncio.gather(*asking)  # quick this time: they are like all others again
    assert not lookups._slow
    lookups.close()


# ---- what an answer may be


@pytest.mark.abuse(61)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(status):
    async with server(OK) as inner:
        to = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:{inner.port}\r\n"
        async with server(f"{to}Content-Length: 0\r\n\r\n".encode()) as outer:
            reply = await get(Outbound(LOOPBACK), f"http://127.0.0.1:{outer.port}")
        assert reply.status == status
        assert inner.connections == []


async def drip(writer):
    """A byte now and then, for ever: no single wait is long."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def flood(writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def endless_header(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nX-More: ")
    while True:
        writer.write(b"y" * 1000)
        await writer.drain()


async def chunks(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"64\r\n" + b"z" * 100 + b"\r\n")
        await writer.drain()


async def silence(writer):
    await asyncio.sleep(60)


@pytest.mark.parametrize("behave", [drip, silence])
async def test_time_is_bounded_in_all(behave):
    async with server(behave) as slow:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await get(Outbound(LOOPBACK), f"http://127.0.0.1:{slow.port}", timeout_s=0.2)
        assert asyncio.get_running_loop().time() - began < 2


@pytest.mark.parametrize("behave", [flood, endless_header, chunks])
async def test_size_is_bounded_in_headers_and_body(behave):
    async with server(behave) as big:
        with pytest.raises(TooLarge):
            await get(Outbound(LOOPBACK), f"http://127.0.0.1:{big.port}", most=10_000)


async def test_exactly_as_much_as_may_be_is_taken():
    body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
    async with server(body % (10, b"x" * 10), body % (11, b"x" * 11)) as made:
        out = Outbound(LOOPBACK)
        url = f"http://127.0.0.1:{made.port}"
        assert (await get(out, url, most=10)).body == b"x" * 10
        with pytest.raises(TooLarge):
            await get(out, url, most=10)


@pytest.mark.parametrize(
    "reply", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None]
)
async def test_what_is_no_http_is_an_error(reply):
    async with server(reply) as made:
        with pytest.raises(OSError):
            await get(Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}")


async def test_headers_hold_no_lines():
    for name, value in (("X", "a\r\nY: b"), ("X\nY", "a"), ("X", "a\0")):
        with pytest.raises(ValueError):
            await Outbound(LOOPBACK).request(
                "GET", "http://127.0.0.1:1", {name: value}, b"", timeout_s=1
            )


# ---- connections kept


async def test_only_what_may_be_repeated_goes_over_a_connection_that_was_kept():
    async with server(OK) as made:
        out, url = Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}"
        for _ in range(3):
            await get(out, url, repeatable=True)
        assert len(made.connections) == 1
        await get(out, url)
        assert len(made.connections) == 2
        out.close()
        assert out._idle == {}


async def test_a_kept_connection_that_ends_is_replaced_once_by_a_new_one():
    async with server(OK, None, OK, None) as made:
        out, url = Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}"
        await get(out, url, repeatable=True)
        assert (await get(out, url, repeatable=True)).body == b"ok"
        assert (len(made.requests), len(made.connections)) == (3, 2)
        with pytest.raises(OSError):
            await get(out, url)
        assert len(made.requests) == 4


async def test_what_came_unasked_is_no_answer():
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    async with server(OK) as made:
        out, url = Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}"
        await get(out, url, repeatable=True)
        made.connections[0].write(late)
        ((kept,),) = out._idle.values()
        while not kept.stream[0]._buffer:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert (await get(out, url, repeatable=True)).status == 200
        assert len(made.connections) == 2


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
async def test_what_only_announces_an_answer_is_none_and_never_that_of_another_request(status):
    announced = b"HTTP/1.1 " + status + b"\r\nX-Only: here\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
    async with server(announced * 2 + answer, OK) as made:
        out, url = Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}"
        first = await get(out, url, repeatable=True)
        second = await get(out, url, repeatable=True)
        assert len(made.connections) == 1
    assert (first.status, first.body, second.body) == (200, b"first", b"ok")
    assert "x-only" not in first.headers


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_answer_may_end_with_its_connection(version):
    async def simple(writer):  # as the plainest servers of many languages do
        writer.write(b"HTTP/" + version + b" 201 Created\r\nX: y\r\n\r\nwhole")

    async with server(simple, OK) as made:
        out, url = Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}"
        reply = await get(out, url, repeatable=True)
        assert (reply.status, reply.body, out._idle) == (201, b"whole", {(("http", url[7:])): []})


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nX: y\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_that_is_cut_off_is_none(cut):
    async def cuts(writer):
        writer.write(cut)

    async with server(cuts) as made:
        with pytest.raises(ConnectionResetError):
            await get(Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}")


async def test_what_is_announced_without_end_is_too_large():
    async with server(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000) as made:
        with pytest.raises(TooLarge):
            await get(Outbound(LOOPBACK), f"http://127.0.0.1:{made.port}")


async def test_an_old_connection_is_not_used_again_and_the_name_is_asked_anew(monkeypatch):
    async with server(OK) as made:
        names = Names(["127.0.0.1"])
        out, url = Outbound(LOOPBACK, names), f"http://x.example:{made.port}"
        await get(out, url, repeatable=True)
        await get(out, url, repeatable=True)
        assert len(names.asked) == 1
        monkeypatch.setattr(module, "OLDEST_SECONDS", 0.0)
        await get(out, url, repeatable=True)
        assert (len(names.asked), len(made.connections)) == (2, 2)
        out.close()


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6")
async def test_ipv6_is_spoken_where_it_is_allowed():
    async with server(OK, address="::1") as made:
        url = f"http://[::1]:{made.port}/x"
        assert (await get(Outbound(Rules((ip_network("::1/128"),))), url)).body == b"ok"
        assert f"\r\nHost: [::1]:{made.port}\r\n".encode() in made.requests[0]
        with pytest.raises(AddressRefused):
            await get(Outbound(LOOPBACK), url)


# ---- TLS


def certificate(issuer=None, key=None, *, name="edition.example", ca=False, ip=None, days=1):
    """A key and a certificate, signed by `issuer`'s `key` or by itself."""
    own = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name)] if ip is None else [x509.IPAddress(ip_address(ip))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key or own, hashes.SHA256())
    )
    return made, own


@pytest.fixture(scope="module")
def authority():
    return certificate(name="the test's authority", ca=True)


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def serves(tmp_path, cert, key):
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "cert.pem").write_bytes(pem(cert) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem")
    return context


@pytest.mark.parametrize(
    ("asked", "made", "accepted"),
    [
        ("edition.example", {}, True),
        ("127.0.0.1", {"ip": "127.0.0.1"}, True),
        ("other.example", {}, False),
        ("127.0.0.1", {}, False),
        ("edition.example", {"days": -1}, False),
        ("edition.example", {"stranger": True}, False),
    ],
)
async def test_tls_is_spoken_with_whom_the_name_says_and_with_nobody_else(
    tmp_path, authority, asked, made, accepted
):
    root, key = authority
    by = (None, None) if made.pop("stranger", False) else (root, key)
    context = serves(tmp_path, *certificate(*by, **made))
    trust = ssl.create_default_context(cadata=pem(root).decode())
    async with server(OK, tls=context) as made:
        out = Outbound(LOOPBACK, Names(["127.0.0.1"]), trust)
        url = f"https://{asked}:{made.port}/x"
        if accepted:
            assert (await get(out, url)).body == b"ok"
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await get(out, url)
            assert made.requests == []


async def test_nobody_is_trusted_whom_the_system_does_not(tmp_path, authority):
    context = serves(tmp_path, *certificate(*authority))
    async with server(OK, tls=context) as made:
        out = Outbound(LOOPBACK, Names(["127.0.0.1"]))
        with pytest.raises(ssl.SSLCertVerificationError):
            await get(out, f"https://edition.example:{made.port}")
