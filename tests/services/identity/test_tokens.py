"""Forged, stale and misused tokens, and the keys behind the real ones."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey

from guilder.chassis.testing import make_bank, new_id, operator, somebody
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import Problem, Unauthenticated
from guilder.contracts.identity import v1
from guilder.services.identity.build import build


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token: str) -> tuple[dict, dict, str]:
    head, body, signature = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body)), signature


def es256(key: ec.EllipticCurvePrivateKey, text: str) -> bytes:
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token_of(header: dict | str, claims: dict | bytes, sign) -> str:
    """Any token at all; `sign` gives the signature of its first two parts."""
    head = header if isinstance(header, str) else json.dumps(header)
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    text = f"{b64(head.encode())}.{b64(body)}"
    return f"{text}.{b64(sign(text))}"


class Ours:
    """A real token, its parts, and the platform's real private key."""

    def __init__(self, identity, token, key) -> None:
        self.identity, self.token, self.key = identity, token, key
        self.header, self.claims, _ = parts(token)

    def sign(self, text: str) -> bytes:
        return es256(self.key.private_key, text)

    def forged(self, header: dict | None = None, sign=None, **claims) -> str:
        return token_of(
            {**self.header, **(header or {})}, {**self.claims, **claims}, sign or self.sign
        )

    async def present(self, token: str) -> v1.Authenticated:
        return await self.identity.authenticate(somebody(PLATFORM).ctx(), v1.Presented(token=token))

    async def refuse(self, *tokens: str) -> None:
        for token in tokens:
            with pytest.raises(Problem) as refused:
                await self.present(token)
            assert refused.value.status in (400, 401), token
            assert "kid" not in str(refused.value.document())


@pytest.fixture
async def ours(world):
    identity, bank = world.client(v1.Identity), await make_bank(world)
    await identity.create_person(bank.manager.ctx(), v1.CreatePerson(login="eva"))
    token = await identity.mint(operator().ctx(), v1.Mint(tenant=bank.slug, login="eva"))
    keys = world.process.built["identity"].service._tokens.keys
    async with world.process.stores["identity"].tx(PLATFORM) as tx:
        _, key = await keys.present(tx)
    made = Ours(identity, token.access_token, key)
    assert await made.present(made.forged())  # the forger's tool itself makes good tokens
    return made


async def test_the_shape_is_rfc_9068(ours, world):
    now = int(world.clock.now().timestamp())
    assert ours.header == {"alg": "ES256", "typ": "at+jwt", "kid": ours.header["kid"]}
    c = ours.claims
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= set(c)
    assert (c["iss"], c["aud"]) == ("guilder", "guilder-api")
    assert (c["iat"], c["nbf"], c["exp"]) == (now, now, now + 600)


async def test_a_stranger_verifies_with_the_published_keys(ours):
    published = (await ours.identity.jwks(somebody(PLATFORM).ctx(), Nothing())).keys
    (key,) = [k for k in published if k["kid"] == ours.header["kid"]]
    assert all(set(k) == {"kty", "crv", "x", "y", "kid", "use", "alg"} for k in published)
    read = jws.deserialize_compact(ours.token, ECKey.import_key(key), algorithms=["ES256"])
    assert json.loads(read.payload) == ours.claims


@pytest.mark.abuse(31)
async def test_a_token_is_used_neither_at_exp_nor_before_nbf(ours, world):
    start = world.clock.at
    try:
        for second, good in ((-0.001, False), (0, True), (599.999, True), (600, False)):
            world.clock.at = datetime.fromtimestamp(ours.claims["nbf"] + second, UTC)
            if good:
                assert await ours.present(ours.token)
            else:
                await ours.refuse(ours.token)
    finally:
        world.clock.at = start


@pytest.mark.abuse(45)
@pytest.mark.parametrize("name", ["none", "None", "NONE", "", "nOnE"])
async def test_an_unsigned_token_is_refused(ours, name):
    text = ours.forged({"alg": name}).rpartition(".")[0]
    await ours.refuse(text + ".", text, ours.forged({"alg": name}), text + "." + "A" * 86)
    stripped, body, _ = ours.token.split(".")
    await ours.refuse(f"{stripped}.{body}.", f"{stripped}.{body}.{'A' * 86}")


@pytest.mark.abuse(46)
async def test_other_algorithms_are_refused_even_with_our_public_key_as_secret(ours):
    public = ours.key.public_key
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(ours.key.as_dict(private=False)).encode(),
    ]
    for secret in secrets:

        def hs256(text: str, secret: bytes = secret) -> bytes:
            return hmac.digest(secret, text.encode(), hashlib.sha256)

        await ours.refuse(ours.forged({"alg": "HS256"}, hs256), ours.forged(None, hs256))
    own = rsa.generate_private_key(65537, 2048)

    def rs256(text: str) -> bytes:
        return own.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())

    await ours.refuse(ours.forged({"alg": "RS256"}, rs256), ours.forged(None, rs256))
    await ours.refuse(*(ours.forged({"alg": a}) for a in ("ES384", "ES256K", "es256", "EdDSA")))


@pytest.mark.abuse(47)
async def test_a_header_chooses_no_key(ours):
    attacker = ECKey.generate_key("P-256", private=True)

    def theirs(text: str) -> bytes:
        return es256(attacker.private_key, text)

    kid = ours.header["kid"]
    for bad in (
        "../../../../dev/null",
        "' UNION SELECT 'x' --",
        "file:///etc/passwd",
        "",
        kid.upper() if kid.upper() != kid else "X",
        "{" + kid + "}",
        f"urn:uuid:{kid}",
        kid + "\x00",
        kid + " ",
        str(new_id()),
        "x" * 300,
        7,
        None,
        [kid],
    ):
        await ours.refuse(ours.forged({"kid": bad}), ours.forged({"kid": bad}, theirs))
    for more in (
        {"jku": "https://attacker.example/jwks.json"},
        {"x5u": "https://attacker.example/cert.pem"},
        {"jwk": attacker.as_dict(private=False)},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"], "exp": 1},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ):
        await ours.refuse(ours.forged(more), ours.forged(more, theirs))
    await ours.refuse(ours.forged(None, theirs))


@pytest.mark.abuse(48)
async def test_tokens_of_others_for_others_or_of_another_kind_are_refused(ours):
    for claims in (
        {"iss": "https://attacker.example"},
        {"iss": "guilder "},
        {"iss": "Guilder"},
        {"aud": "another-api"},
        {"aud": ["guilder-api"]},
        {"aud": ["guilder-api", "another"]},
        {"iss": None},
        {"exp": "9999999999"},
        {"exp": 9999999999.5},
        {"exp": None},
        {"sub": str(new_id())},
        {"sub": "eva"},
        {"tenant": PLATFORM},
        {"tenant": -1},
        {"kind": "client"},
        {"kind": "service"},
        {"scope": "everything"},
    ):
        await ours.refuse(ours.forged(None, None, **claims))
    for typ in ("JWT", "jwt", "id+jwt", "AT+JWT", "application/at+jwt", "", None):
        await ours.refuse(ours.forged({"typ": typ}))
    identity_token = {k: ours.claims[k] for k in ("iss", "aud", "sub", "iat", "exp")}
    await ours.refuse(token_of({**ours.header, "typ": "JWT"}, identity_token, ours.sign))
    await ours.refuse(token_of(ours.header, identity_token, ours.sign))


async def test_a_token_changed_in_any_place_is_refused(ours):
    head, body, signature = ours.token.split(".")
    swapped = b64(json.dumps({**ours.claims, "tenant": PLATFORM}).encode())
    await ours.refuse(
        f"{head}.{swapped}.{signature}",
        f"{head}.{body}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'Q'}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}\n",
        f" {ours.token}",
        f"{head}\n.{body}.{signature}",
        f"{head}.{body}.{signature}.{signature}",
        "",
        ".",
        "..",
        "é.é.é",
        "a" * 5000,
        f"{head}.{body}{'A' * 4000}.{signature}",
    )
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    loose = [f"{head}.{body}.{signature[:-1]}{c}" for c in last if c != signature[-1]]
    await ours.refuse(*loose)  # four of them decode to the same bytes


async def test_repeated_members_and_deep_headers_are_refused(ours):
    kid = ours.header["kid"]
    double = f'{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{kid}"}}'
    await ours.refuse(token_of(double, ours.claims, ours.sign))
    await ours.refuse(token_of("[" * 200, ours.claims, ours.sign))
    await ours.refuse(token_of("[]", ours.claims, ours.sign))
    await ours.refuse(token_of(ours.header, b"[]", ours.sign))
    await ours.refuse(token_of(ours.header, b"\xff", ours.sign))


async def test_a_rotated_key_verifies_until_its_last_token_has_expired(ours, world):
    start, ctx = world.clock.at, operator().ctx()
    try:
        world.clock.move(seconds=300)
        made = await ours.identity.rotate_key(ctx, Nothing())
        assert await ours.identity.rotate_key(ctx, Nothing()) == made
        assert made.id != ours.header["kid"]

        async def published():
            found = await ours.identity.jwks(somebody(PLATFORM).ctx(), Nothing())
            return {key["kid"] for key in found.keys}

        assert {made.id, ours.header["kid"]} <= await published()
        assert await ours.present(ours.token)
        path = world._folder / "operator.secret"
        asked = v1.TokenRequest(
            client_id="00000000-0000-0000-0000-000000000001", client_secret=path.read_text()
        )
        fresh = (await ours.identity.client_token(somebody(PLATFORM).ctx(), asked)).access_token
        assert parts(fresh)[0]["kid"] == made.id
        world.clock.move(seconds=600)
        assert ours.header["kid"] not in await published()
        await ours.refuse(ours.forged(None, None, exp=ours.claims["exp"] + 86_400))
        assert made.id in await published()
    finally:
        world.clock.at = start


async def test_two_processes_sign_with_one_key(direct):
    process = direct.process
    first = process.built["identity"].service
    bank = await make_bank(direct)
    identity = direct.client(v1.Identity)
    client = await identity.create_client(bank.manager.ctx(), v1.CreateClient(name="till"))
    asked = v1.TokenRequest(client_id=str(client.id), client_secret=client.client_secret)
    second = build(_parts(direct)).service
    for one, other in ((first, second), (second, first)):
        await one.rotate_key(operator().ctx(key=""), Nothing())
        for issuer, judge in ((one, other), (other, one)):
            token = (await issuer.client_token(somebody(0).ctx(), asked)).access_token
            who = await judge.authenticate(somebody(0).ctx(), v1.Presented(token=token))
            assert who.principal.id == client.id


def _parts(world):
    from guilder.chassis.process import Parts

    store, once = world.process.stores["identity"], world.process.built["identity"].service.once
    calls = world.process.calls("identity")
    around = (world.clock, None, world._folder, {}, world.process.directory)
    return Parts("identity", store, once, calls, *around)


async def test_the_self_check_finds_a_changed_key_and_a_bad_digest(direct):
    identity, bank = direct.client(v1.Identity), await make_bank(direct)
    store = direct.process.stores["identity"]
    client = await identity.create_client(bank.manager.ctx(), v1.CreateClient(name="till"))

    async def found():
        report = await identity.self_check(somebody(0).ctx(), Nothing())
        return sorted(f.check for f in report.findings if f.tenant in (0, bank.number))

    await identity.jwks(somebody(0).ctx(), Nothing())
    assert await found() == []
    async with store.tx(PLATFORM, bank.number) as tx:
        key = await tx.row("SELECT * FROM signing_key WHERE verifies_until IS NULL")
        await tx.execute("UPDATE signing_key SET x=y WHERE id=$1", key["id"])
        digest = await tx.value("SELECT secret_digest FROM client WHERE id=$1", client.id)
        await tx.execute("UPDATE client SET secret_digest='\\x00' WHERE id=$1", client.id)
    assert await found() == ["client-secret", "signing-key"]
    async with store.tx(PLATFORM, bank.number) as tx:
        await tx.execute("UPDATE signing_key SET x=$2 WHERE id=$1", key["id"], key["x"])
        await tx.execute("UPDATE client SET secret_digest=$2 WHERE id=$1", client.id, digest)
    assert await found() == []


async def test_a_private_key_is_sealed(direct):
    await direct.client(v1.Identity).jwks(somebody(0).ctx(), Nothing())
    keys = direct.process.built["identity"].service._tokens.keys
    async with direct.process.stores["identity"].tx(PLATFORM) as tx:
        row = await tx.row("SELECT * FROM signing_key WHERE verifies_until IS NULL")
    private = keys.unseal(row).as_dict(private=True)["d"]
    assert private.encode() not in bytes(row["sealed"])
    assert unb64(private) not in bytes(row["sealed"])


def test_settings_refuse_a_useless_life():
    from guilder.services.identity.settings import IdentitySettings

    assert IdentitySettings.load({"GUILDER_IDENTITY_TOKEN_S": "60"}).token_s == 60
    for life in ("0", "59", "3601", "x"):
        with pytest.raises(ValueError):
            IdentitySettings.load({"GUILDER_IDENTITY_TOKEN_S": life})


def test_a_problem_says_nothing_of_the_token():
    assert issubclass(v1.InvalidToken, Unauthenticated)
    assert "token" in msgspec.json.encode(v1.InvalidToken().document()).decode()
