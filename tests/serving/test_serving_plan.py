"""A process from settings alone: what is absent or wrong is a sentence that names the setting."""

import contextlib
import json
import socket

import psutil
import pytest

from guilder.chassis.call import PROCESS, call_map, callees, callers
from guilder.chassis.signature import SigningKey
from guilder.chassis.token import CallKeys, PairKeys
from guilder.chassis.wire import Address
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.errors import Unauthenticated
from guilder.serving.plan import (
    GATEWAY,
    ServeError,
    from_settings,
    listen,
    listen_unix,
    names,
    pair_keys,
    read_peers,
    speaks_with_editions,
)

ROOT_KEY = CallKeys(b"a platform's call secret")


@pytest.fixture
def env(tmp_path):
    """Settings with which `pricing` and the gateway can be run."""
    keys = pair_keys(ROOT_KEY, "pricing") | pair_keys(ROOT_KEY, GATEWAY)
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    return {
        "GUILDER_SERVE_LISTEN": f"unix:{tmp_path}/p.sock",
        "GUILDER_SERVE_PUBLIC": f"unix:{tmp_path}/public.sock",
        "GUILDER_SERVE_DATABASE": "postgresql://pricing:secret@db/pricing",
        "GUILDER_SERVE_PEERS": "*=unix:/run/g/{name}.sock, ledger=http://10.0.0.7:9000",
        "GUILDER_SERVE_KEYS": str(tmp_path / "keys.json"),
        "GUILDER_SERVE_SECRETS": str(tmp_path / "secrets"),
        "GUILDER_SERVE_LINGER_S": "2.5",
    }


def closed(plan):
    for sock in (plan.private, plan.public):
        if sock is not None:
            sock.close()
    return plan


def test_a_service_needs_nothing_but_its_settings(env, tmp_path):
    plan = closed(from_settings("pricing", env))
    assert (plan.name, plan.services, plan.public) == ("pricing", ("pricing",), None)
    assert plan.connect == {"pricing": {"dsn": env["GUILDER_SERVE_DATABASE"]}}
    assert plan.secrets == tmp_path / "secrets"
    assert plan.peers("access") == Address(path="/run/g/access.sock")
    assert plan.peers("ledger") == Address(host="10.0.0.7", port=9000)
    assert plan.env is env
    assert (tmp_path / "p.sock").stat().st_mode & 0o777 == 0o600


def test_the_gateway_needs_no_database_and_has_a_public_door(env):
    del env["GUILDER_SERVE_DATABASE"]
    plan = closed(from_settings(GATEWAY, env))
    assert (plan.services, plan.connect, plan.linger_s) == ((), {}, 2.5)
    assert plan.public is not None


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("LISTEN", None, "GUILDER_SERVE_LISTEN"),
        ("LISTEN", "", "GUILDER_SERVE_LISTEN"),
        ("LISTEN", "/run/p.sock", "GUILDER_SERVE_LISTEN.*unix:/path or http"),
        ("LISTEN", "unix:/nowhere/p.sock", "GUILDER_SERVE_LISTEN.*No such file"),
        ("LISTEN", "unix:/" + "x" * 200, "GUILDER_SERVE_LISTEN.*too long"),
        ("LISTEN", "unix:/a\0b", "GUILDER_SERVE_LISTEN"),
        ("LISTEN", "http://192.0.2.1:9", "GUILDER_SERVE_LISTEN.*assign"),
        ("DATABASE", None, "GUILDER_SERVE_DATABASE"),
        ("DATABASE", "", "GUILDER_SERVE_DATABASE"),
        ("PEERS", None, "GUILDER_SERVE_PEERS does not say where access is"),
        ("PEERS", "ledger=unix:/l.sock", "GUILDER_SERVE_PEERS does not say where access is"),
        ("PEERS", "*", "GUILDER_SERVE_PEERS"),
        ("PEERS", "accesss=unix:/a.sock", "accesss.*GUILDER_SERVE_PEERS"),
        ("PEERS", "*=unix:a.sock", "unix:a.sock.*GUILDER_SERVE_PEERS"),
        ("PEERS", "*=https://a:1", "https.*GUILDER_SERVE_PEERS"),
        ("PEERS", "*=http://a", "GUILDER_SERVE_PEERS"),
        ("KEYS", "/nowhere/keys", "/nowhere/keys.*GUILDER_SERVE_KEYS.*guilder keys pricing"),
        ("KEYS", "/", "directory.*GUILDER_SERVE_KEYS"),
        ("LINGER_S", "soon", "GUILDER_SERVE_LINGER_S"),
    ],
)
def test_every_absent_or_wrong_setting_is_named(env, setting, value, said):
    name = f"GUILDER_SERVE_{setting}"
    env.pop(name) if value is None else env.update({name: value})
    with pytest.raises(ServeError, match=said):
        closed(from_settings("pricing", env))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no call keys"),
        ("{", "holds no call keys"),
        ("null", "object of pairs"),
        ("[]", "object of pairs"),
        ("5", "object of pairs"),
        ('"x"', "object of pairs"),
        ('{"gateway>pricing": 5}', "object of pairs"),
        ('{"gateway>pricing": null}', "object of pairs"),
        ('{"gateway>pricing": "xyz"}', "holds no call keys"),
        ('{"gateway>pricing": ""}', "gateway>pricing has not 32 bytes"),
        ('{"gateway>pricing": "00ff"}', "gateway>pricing has not 32 bytes"),
        ("{}", "of another process.*pricing"),
        (json.dumps(pair_keys(ROOT_KEY, "vault")), "of another process.*pricing"),
        ("\udcff", "holds no call keys"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_without_the_keys_is_refused_at_the_start(env, tmp_path, text, said):
    (tmp_path / "keys.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ServeError, match=f"keys.json.*{said}.*guilder keys pricing"):
        from_settings("pricing", env)


# ---- listening


def test_a_dead_socket_is_replaced_and_a_living_one_is_not_stolen(tmp_path):
    path = tmp_path / "p.sock"
    first = listen("X", f"unix:{path}")
    with pytest.raises(ServeError, match=r"X: nothing can listen at .*in use"):
        listen("X", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(path))  # the first is as it was
    first.close()
    listen("X", f"unix:{path}").close()


def test_a_full_queue_is_alive_too(tmp_path):
    path = str(tmp_path / "p.sock")
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as waiting:
        busy.bind(path)
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                asking = waiting.enter_context(socket.socket(socket.AF_UNIX))
                asking.setblocking(False)
                asking.connect(path)
        with pytest.raises(ServeError, match="in use"):
            listen("X", f"unix:{path}")


def test_what_is_no_socket_is_never_removed(tmp_path):
    precious = tmp_path / "accounts.csv"
    precious.write_text("all we have")
    with pytest.raises(OSError, match="in use"):
        listen_unix(precious)
    assert precious.read_text() == "all we have"


def test_a_port_is_listened_at_and_a_taken_one_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"X: nothing can listen at .*{port}.*in use"):
            listen("X", f"http://127.0.0.1:{port}")
    with listen("X", f"http://127.0.0.1:{port}") as made:
        assert made.getsockname() == ("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_an_ipv6_address_is_listened_at():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
        port = free.getsockname()[1]
    with listen("X", f"http://[::1]:{port}") as made:
        assert made.getsockname()[:2] == ("::1", port)


# ---- who is where, and whose keys


def test_peers_are_read_by_name_and_the_star_is_for_the_rest():
    where = read_peers(" ledger = x".replace(" = x", "=http://[::1]:70") + ",, *=unix:/r/{name},")
    assert where("ledger") == Address(host="::1", port=70)
    assert where("vault") == Address(path="/r/vault")
    with pytest.raises(ValueError, match="vault"):
        read_peers("ledger=unix:/l")("vault")


def test_a_process_gets_exactly_the_keys_of_its_pairs():
    book = call_map()
    everybody = {
        (caller, callee)
        for part in book.values()
        for caller, callees_ in part.items()
        for callee in callees_
    }
    for name in names():
        mine = {pair for pair in everybody if name in pair or pair[0] == PROCESS}
        if speaks_with_editions(name):
            mine.add(("platform", "editions"))
        keys = pair_keys(ROOT_KEY, name)
        assert set(keys) == {f"{one}>{two}" for one, two in mine}
        assert all(keys[f"{a}>{b}"] == ROOT_KEY.key(a, b).hex() for a, b in mine)
    assert set(names()) == {GATEWAY, *all_contracts()}


def test_who_sends_to_editions_holds_that_key_and_the_public_door_does_not():
    assert {"registry", "payments", "notifications"} <= {
        name for name in names() if speaks_with_editions(name)
    }
    for name in (GATEWAY, "ledger", "vault", "pricing", "identity", "audit"):
        assert not speaks_with_editions(name)
        with pytest.raises(Unauthenticated):
            SigningKey.of(PairKeys(pair_keys(ROOT_KEY, name)))
    payments = PairKeys(pair_keys(ROOT_KEY, "payments"))
    assert SigningKey.of(payments).keyid == SigningKey.of(ROOT_KEY).keyid


def test_keys_of_pairs_sign_and_check_like_the_root_and_no_others():
    pricing = PairKeys(pair_keys(ROOT_KEY, "pricing"))
    for caller in callers("pricing"):
        assert pricing.key(caller, "pricing") == ROOT_KEY.key(caller, "pricing")
    for callee in callees("pricing"):
        assert pricing.key("pricing", callee) == ROOT_KEY.key("pricing", callee)
    for pair in (("payments", "ledger"), ("pricing", "payments"), ("", ""), ("tools>x", "y")):
        with pytest.raises(Unauthenticated, match="holds no key"):
            pricing.key(*pair)


def test_nothing_is_left_open_of_what_could_not_listen(tmp_path):
    before = psutil.Process().num_fds()
    for _ in range(5):
        with pytest.raises(OSError, match="No such file"):
            listen_unix(tmp_path / "nowhere" / "p.sock")
    assert psutil.Process().num_fds() == before
