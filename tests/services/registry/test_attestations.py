"""Attestations: signed by the registry alone, believed only as they were signed and in time."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from edition_desk import DIGEST, SUITE, Edition, attested, run, trial
from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from guilder.chassis.signature import PAIR, SigningKey
from guilder.chassis.testing import CALL_KEYS, make_bank, new_id, operator, somebody
from guilder.chassis.token import PairKeys
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Unauthenticated
from guilder.contracts.registry import v1
from guilder.gateway.settings import GatewaySettings
from guilder.services.registry import attestation_store
from guilder.services.registry.notary import Notary, Statement, fresh_key
from tests.gateway.door import Door

BOUND = ("pricing", "B", "1.0.0")


async def attest(world, folder, **said):
    """A fresh attestation and the service that made it."""
    with trial(world, folder):
        async with Edition(**said).serving() as edition:
            done = await run(world, edition)
        (made,) = [a for a in await attested(world) if a.id == done.attestation]
    return made


async def fresh(service, *what):
    async with service.store.tx(PLATFORM) as tx:
        return await service.editions.notary.fresh(tx, *what)


async def standing(world, made):
    (now,) = [a for a in await attested(world) if a.id == made.id]
    return now.standing


async def as_superuser(admin, world, sql, *values):
    """Write into the registry's database past its login role's rights."""
    database = world.process.stores["registry"]._connect["database"]
    connection = await asyncpg.connect(**{**admin, "database": database})
    try:
        return await connection.execute(sql, *values)
    finally:
        await connection.close()


async def test_anybody_with_the_keys_can_check_what_is_attested(world, tmp_path):
    made = await attest(world, tmp_path)
    bank = await make_bank(world)
    told = await world.public(v1.Registry).edition_keys(bank.manager.ctx(), Nothing())
    keys = KeySet.import_key_set({"keys": told.keys})
    found = jws.deserialize_compact(made.signed, keys, algorithms=["ES256"])
    said = json.loads(found.payload)
    assert found.headers()["typ"] == "guilder-attestation"
    assert said == {
        "id": str(made.id),
        "run": str(made.run),
        "contract": "pricing",
        "contract_version": "1.0.0",
        "edition": "B",
        "version": "1.0.0",
        "url": made.url,
        "digest": DIGEST,
        "suite": SUITE,
        "disclaims": ["load"],
        "result": "passed",
        "finished_at": said["finished_at"],
        "expires_at": said["expires_at"],
    }
    (signing,) = [key for key in told.keys if key["guilder_use"] == "attestations"]
    (sending,) = [key for key in told.keys if key["guilder_use"] == "requests"]
    assert found.headers()["kid"] == signing["kid"]
    assert sending == SigningKey.of(CALL_KEYS).public_jwk() | {"guilder_use": "requests"}
    assert {"d", "k"} & {name for key in told.keys for name in key} == set(), "public halves"


async def test_an_attestation_is_fresh_for_exactly_what_was_tested(direct, tmp_path):
    made = await attest(direct, tmp_path)
    with trial(direct, tmp_path) as service:
        row = await fresh(service, *BOUND, made.url)
        assert (row["id"], row["digest"], row["suite_hash"]) == (made.id, DIGEST, SUITE)
        for what in (
            ("screening", "B", "1.0.0", made.url),
            ("pricing", "C", "1.0.0", made.url),
            ("pricing", "B", "1.0.1", made.url),
            (*BOUND, made.url + "/other"),
            (*BOUND, "http://127.0.0.1:1"),
        ):
            assert await fresh(service, *what) is None


async def test_it_expires_to_the_microsecond(direct, tmp_path):
    made = await attest(direct, tmp_path)
    with trial(direct, tmp_path) as service:
        tick = timedelta(microseconds=1)
        left = made.expires_at - direct.clock.now()
        for moment, seen in ((left - tick, "fresh"), (left, "expired")):
            direct.clock.move(seconds=moment.total_seconds())
            try:
                assert await standing(direct, made) == seen
                assert (await fresh(service, *BOUND, made.url) is None) == (seen == "expired")
            finally:
                direct.clock.move(seconds=-moment.total_seconds())
        direct.clock.move(seconds=-1)  # a clock set back believes nothing of the future
        try:
            assert await fresh(service, *BOUND, made.url) is None
        finally:
            direct.clock.move(seconds=1)


async def test_another_suite_outdates_it_and_a_new_run_makes_it_good(direct, tmp_path):
    newer = "77" * 32
    async with Edition().serving() as edition:
        with trial(direct, tmp_path):
            old = await run(direct, edition)
        with trial(direct, tmp_path, suite=newer) as service:
            (listed,) = [a for a in await attested(direct) if a.id == old.attestation]
            assert listed.standing == "outdated"
            assert await fresh(service, *BOUND, edition.url) is None
            new = await run(direct, edition)
            assert (await fresh(service, *BOUND, edition.url))["id"] == new.attestation


async def test_where_nobody_can_say_which_suite_is_ours_nothing_is_fresh(direct, tmp_path):
    made = await attest(direct, tmp_path)
    with trial(direct, tmp_path) as service:
        service.editions.suite.teller = ("/nowhere/python",)
        assert await fresh(service, *BOUND, made.url) is None


async def test_which_suites_are_ours_is_asked_once_and_before_anybody_binds(direct, tmp_path):
    made, asked = await attest(direct, tmp_path), tmp_path / "suite.py.asked"
    asked.unlink()
    with trial(direct, tmp_path) as service:
        assert not await service.work(), "nothing waits"
        assert asked.read_text() == "x", "the sweep has asked"
        found = await asyncio.gather(*(fresh(service, *BOUND, made.url) for _ in range(5)))
        assert {row["id"] for row in found} == {made.id}
    assert asked.read_text() == "x"


async def test_whoever_asks_at_once_waits_for_the_answer(direct, tmp_path):
    """Else the second would hear that nobody can say, and an edition would not be bound."""
    made, asked = await attest(direct, tmp_path), tmp_path / "suite.py.asked"
    asked.unlink()
    with trial(direct, tmp_path) as service:
        found = await asyncio.gather(*(fresh(service, *BOUND, made.url) for _ in range(5)))
    assert {row["id"] for row in found} == {made.id}
    assert asked.read_text() == "x"


LATER = "now() + interval '9 years'"
COLUMNS = {
    "contract": "'screening'",
    "contract_version": "'2.0.0'",
    "edition": "'C'",
    "version": "'1.0.1'",
    "url": "'http://127.0.0.1:1'",
    "digest": "'sha256:' || repeat('00', 32)",
    "suite_hash": "repeat('00', 32)",
    "finished_at": "finished_at - interval '1 second'",
    "expires_at": LATER,
    "id": "'0198c2f6-7a51-7000-8000-000000000000'",
}


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_row_that_was_changed_is_no_attestation(direct, admin, tmp_path, column):
    made = await attest(direct, tmp_path)
    change = f"UPDATE attestation SET {column}={COLUMNS[column]} WHERE run_id=$1 RETURNING *"
    assert await as_superuser(admin, direct, change, made.run) == "UPDATE 1"
    with trial(direct, tmp_path) as service:
        async with service.store.tx(PLATFORM) as tx:
            row = await tx.row("SELECT * FROM attestation WHERE run_id=$1", made.run)
            assert await service.editions.notary.standing(row, tx.at) == "altered"
            what = [row[name] for name in ("contract", "edition", "version", "url")]
            assert await service.editions.notary.fresh(tx, *what) is None
        report = await service.self_check(operator().ctx(), Nothing())
        assert [f.check for f in report.findings if str(made.run) in f.detail] == ["attestation"]
    back = "DELETE FROM attestation WHERE run_id=$1"
    assert await as_superuser(admin, direct, back, made.run) == "DELETE 1"


def segment(value):
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forgeries(made, notary):
    """What somebody could put into the column who has the database and not the key."""
    head, payload, signature = made.signed.split(".")
    said = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    header = {"alg": "ES256", "typ": "guilder-attestation", "kid": notary.kid}
    other = ECKey.import_key(fresh_key())
    text = json.dumps(said).encode()
    yield "another key", jws.serialize_compact(header, text, other, algorithms=["ES256"])
    yield "alg none", f"{segment(header | {'alg': 'none'})}.{payload}."
    yield "another payload", f"{head}.{segment(said | {'edition': 'C'})}.{signature}"
    yield "no signature", f"{head}.{payload}."
    yield "zeros", f"{head}.{payload}.{urlsafe_b64encode(bytes(64)).rstrip(b'=').decode()}"
    yield "nothing", ""
    yield "noise", "a.b.c"
    headers = {"typ": "at+jwt", "kid": "x", "jku": "https://x.example", "x5u": "https://x.example"}
    for name, value in headers.items():
        yield f"header {name}", _signed(header | {name: value}, said, notary._key)
    yield "another result", _signed(header, said | {"result": "failed"}, notary._key)
    yield "another member", _signed(header, said | {"extra": 1}, notary._key)


def _signed(header, said, key):
    """A JWS with the right key, of what the registry itself would never sign."""
    body = f"{segment(header)}.{segment(said)}"
    signature = key.private_key.sign(body.encode(), ec.ECDSA(hashes.SHA256()))
    raw = b"".join(n.to_bytes(32, "big") for n in utils.decode_dss_signature(signature))
    return f"{body}.{urlsafe_b64encode(raw).rstrip(b'=').decode()}"


async def test_what_this_registry_did_not_sign_is_no_attestation(direct, tmp_path):
    made = await attest(direct, tmp_path)
    with trial(direct, tmp_path) as service:
        notary = service.editions.notary
        assert notary.read(made.signed) is not None
        head, payload, _ = made.signed.split(".")
        same = (json.loads(urlsafe_b64decode(part + "==")) for part in (head, payload))
        assert notary.read(_signed(*same, notary._key)) is not None, "else the test proves nothing"
        seen = list(forgeries(made, notary))
        assert len(seen) == 13
        assert [name for name, forged in seen if notary.read(forged) is not None] == []


async def test_after_a_change_of_the_key_nothing_older_counts(direct, tmp_path):
    made = await attest(direct, tmp_path)
    with trial(direct, tmp_path) as service:
        other = Notary(fresh_key(), timedelta(days=7), service.editions.suite.current)
        async with service.store.tx(PLATFORM) as tx:
            assert await other.fresh(tx, *BOUND, made.url) is None
            row = await tx.row("SELECT * FROM attestation WHERE id=$1", made.id)
            assert await other.standing(row, tx.at) == "outdated", "altered it is not"
            assert await service.editions.notary.fresh(tx, *BOUND, made.url) is not None


async def test_another_key_signs_for_nobody_but_itself(direct):
    suite = direct.process.built["registry"].service.editions.suite.current
    one, two = (Notary(fresh_key(), timedelta(days=7), suite) for _ in range(2))
    at = direct.clock.now()
    same = {"id": new_id(), "run": new_id(), "contract": "pricing", "contract_version": "1.0.0"}
    same |= {"edition": "B", "version": "1.0.0", "url": "https://x.example", "digest": DIGEST}
    said = Statement(**same, suite=SUITE, disclaims=[], finished_at=at, expires_at=at)
    assert one.read(one.sign(said)) == said
    assert two.read(one.sign(said)) is None


async def test_the_login_role_can_neither_change_nor_remove_an_attestation(direct, tmp_path):
    made = await attest(direct, tmp_path)
    service = direct.process.built["registry"].service
    for sql in (
        "UPDATE attestation SET digest='x' WHERE id=$1",
        "DELETE FROM attestation WHERE id=$1",
        "DELETE FROM conformance_run WHERE id=$1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with service.store.tx(PLATFORM) as tx:
                await tx.execute(sql, made.id)


async def test_the_key_is_a_private_file_made_once(direct):
    path = direct._folder / "registry" / "attestation.key"
    assert path.stat().st_mode & 0o777 == 0o600
    again = Notary(path.read_bytes(), timedelta(days=7), None)
    assert again.kid == direct.process.built["registry"].service.editions.notary.kid


async def test_the_list_is_told_in_pages_and_by_edition(direct, tmp_path):
    letters = ("Q", "R", "Q")
    made = [await attest(direct, tmp_path, edition=letter) for letter in letters]
    seen, after = [], None
    while True:
        query = v1.AttestationQuery(contract="pricing", edition="Q", after=after, limit=1)
        registry = direct.public(v1.Registry)
        page = await registry.attestations(operator().ctx(), query)
        assert [(line.contract, line.edition) for line in page.items] == [("pricing", "Q")]
        seen += [line.id for line in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == sorted(seen, reverse=True)
    assert {made[0].id, made[2].id} <= set(seen)
    of_another = await attested(direct, contract="screening")
    assert {line.contract for line in of_another} <= {"screening"}


# ── the keys, from outside ───────────────────────────────────────────────────────────────────


@pytest.mark.refuses("registry.edition_keys")
async def test_whoever_is_signed_in_gets_the_keys_and_may_keep_them(direct):
    door = Door(direct, GatewaySettings(stranger_rate=1e6))
    await door.open()
    try:
        reply = await door.send("GET", "/v1/edition-keys")
        assert reply.status == 401
        assert reply.headers["cache-control"] == "no-store"
        _, token = await door.bank()
        reply = await door.send("GET", "/v1/edition-keys", token=token)
    finally:
        await door.close()
    assert reply.status == 200
    assert reply.headers["cache-control"] == "private, max-age=300"
    wanted = await direct.public(v1.Registry).edition_keys(somebody(PLATFORM).ctx(), Nothing())
    assert json.loads(reply.body) == msgspec.to_builtins(wanted)


async def test_a_process_without_the_key_towards_editions_does_not_begin(direct):
    """The key is one of the call keys; there is no default that others could know."""
    with pytest.raises(Unauthenticated):
        SigningKey.of(PairKeys({}))
    assert PAIR == ("platform", "editions")


async def test_only_so_many_attestations_of_the_same_are_looked_at(direct, tmp_path, monkeypatch):
    monkeypatch.setattr(attestation_store, "MOST_SPEAKING", 1)
    async with Edition().serving() as edition:
        with trial(direct, tmp_path) as service:
            await run(direct, edition)
            direct.clock.move(seconds=1)
            last = await run(direct, edition)
            assert (await fresh(service, *BOUND, edition.url))["id"] == last.attestation
