"""Signatures on requests to editions, judged by others: RFC 9421's own example, Node, OpenSSL."""

import json
import shutil
import subprocess
from base64 import b64decode

import pytest
from hypothesis import given, settings, strategies as st

from guilder.chassis.signature import (
    PAIR,
    SKEW_SECONDS,
    BadSignature,
    SigningKey,
    base,
    content_digest,
    holds,
    thumbprint,
    verify,
)
from guilder.chassis.token import CallKeys, PairKeys
from guilder.contracts.edition import SIGNATURE_SECONDS
from guilder.contracts.errors import Unauthenticated

NOW = 1_760_000_000
KEY = SigningKey(b"\x07" * 32)
REQUEST = ("POST", "edition.example:8443", "/pricing/v1/quotes")
BODY = b'{"tenant":7,"items":[]}'


def signed(key=KEY, request=REQUEST, body=BODY, at=NOW):
    return {name.lower(): value for name, value in key.sign(*request, body, at).items()}


def check(headers, key=KEY, *, request=REQUEST, body=BODY, at=NOW):
    method, authority, path = request
    verify(
        key.public_jwk(),
        method=method,
        authority=authority,
        path=path,
        headers=headers,
        body=body,
        now=at,
    )


# RFC 9421, appendix B.1.3 and B.2.4
THEIR_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
    "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
}
THEIR_DIGEST = (
    "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5a"
    "GgfLQ==:"
)
THEIRS = [
    ("@status", "200"),
    ("content-type", "application/json"),
    ("content-digest", THEIR_DIGEST),
    ("content-length", "23"),
]
THEIR_PARAMETERS = (
    '("@status" "content-type" "content-digest" "content-length")'
    ';created=1618884473;keyid="test-key-ecc-p256"'
)
THEIR_SIGNATURE = (
    "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=="
)


def test_the_example_of_the_rfc():
    assert holds(THEIR_JWK, base(THEIRS, THEIR_PARAMETERS), b64decode(THEIR_SIGNATURE))
    other = [*THEIRS[:3], ("content-length", "24")]
    assert not holds(THEIR_JWK, base(other, THEIR_PARAMETERS), b64decode(THEIR_SIGNATURE))


def test_the_digest_of_rfc_9530():
    """The example of its appendix B.1."""
    body = b'{"hello": "world"}\n'
    assert content_digest(body) == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def test_the_thumbprint_is_of_the_members_in_order():
    """Against `openssl dgst`, which knows nothing of JSON Web Keys."""
    jwk = KEY.public_jwk()
    x, y = jwk["x"], jwk["y"]
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-binary"], input=text.encode(), capture_output=True
    ).stdout
    assert b64decode(jwk["kid"].replace("-", "+").replace("_", "/") + "=") == made
    assert thumbprint(jwk) == KEY.keyid == jwk["kid"]


NODE = """
const crypto = require('crypto');
let text = ''; process.stdin.on('data', d => text += d).on('end', () => {
  const {jwk, method, authority, path, headers, body} = JSON.parse(text);
  const [, inner] = /^guilder=(.*)$/.exec(headers['signature-input']);
  const names = /^\\(([^)]*)\\)/.exec(inner)[1].split(' ').map(n => n.slice(1, -1));
  const values = {'@method': method, '@authority': authority, '@path': path};
  const lines = names.map(n => `"${n}": ${values[n] ?? headers[n]}`);
  lines.push(`"@signature-params": ${inner}`);
  const raw = Buffer.from(/^guilder=:(.*):$/.exec(headers['signature'])[1], 'base64');
  const key = crypto.createPublicKey({key: jwk, format: 'jwk'});
  const digest = 'sha-256=:' + crypto.createHash('sha256').update(body).digest('base64') + ':';
  console.log(JSON.stringify([
    crypto.verify('sha256', Buffer.from(lines.join('\\n')), {key, dsaEncoding: 'ieee-p1363'}, raw),
    digest === headers['content-digest'],
  ]));
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("changed", [None, "method", "authority", "path", "body"])
def test_node_reads_them_as_we_do(changed):
    asked = {"method": REQUEST[0], "authority": REQUEST[1], "path": REQUEST[2]}
    asked |= {"body": BODY.decode(), "jwk": KEY.public_jwk(), "headers": signed()}
    if changed:
        asked[changed] += "x"
    made = subprocess.run(
        ["node", "-e", NODE], input=json.dumps(asked).encode(), capture_output=True
    )
    assert json.loads(made.stdout) == [changed in (None, "body"), changed != "body"], made.stderr


def test_what_was_signed_is_accepted_as_long_as_it_is_valid():
    for at in (NOW - SKEW_SECONDS, NOW, NOW + SIGNATURE_SECONDS - 1):
        check(signed(), at=at)


@pytest.mark.abuse(29)
@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_ten_minutes_away_is_refused(minutes):
    with pytest.raises(BadSignature, match="not of now"):
        check(signed(at=NOW + 60 * minutes))


@pytest.mark.abuse(29)
@pytest.mark.parametrize("at", [NOW + SIGNATURE_SECONDS, NOW - SKEW_SECONDS - 1])
def test_the_edges_of_its_time(at):
    with pytest.raises(BadSignature, match="not of now"):
        check(signed(), at=at)


def change(headers, name, old, new):
    assert old in headers[name]
    return {**headers, name: headers[name].replace(old, new, 1)}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda h: {},
        lambda h: {**h, "signature": ""},
        lambda h: {**h, "signature": h["signature"] + ", x=:aa:"},
        lambda h: change(h, "signature-input", '"@path" ', ""),
        lambda h: change(h, "signature-input", "@path", "@query"),
        lambda h: change(h, "signature-input", f"created={NOW}", f"created={NOW - 1}"),
        lambda h: change(h, "signature-input", "expires=", "expires=1"),
        lambda h: change(h, "signature-input", "ecdsa-p256-sha256", "hmac-sha256"),
        lambda h: change(h, "signature-input", KEY.keyid, SigningKey(b"x" * 32).keyid),
        lambda h: {**h, "content-digest": content_digest(b"other")},
        lambda h: {**h, "content-digest": ""},
        lambda h: {**h, **{n: signed(SigningKey(b"x" * 32))[n] for n in ("signature",)}},
        lambda h: {**h, **signed(SigningKey(b"x" * 32))},
        lambda h: change(h, "signature", h["signature"][9:], "A" * 86 + "==:"),
    ],
)
def test_what_was_changed_is_refused(spoil):
    with pytest.raises(BadSignature):
        check(spoil(signed()))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_signature_is_for_one_request(place):
    other = list(REQUEST)
    other[place] += "x"
    with pytest.raises(BadSignature):
        check(signed(), request=other)
    with pytest.raises(BadSignature):
        check(signed(), body=BODY + b" ")


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_every_seed_makes_a_key(seed, body):
    key = SigningKey(seed)
    check(signed(key, body=body), key, body=body)
    assert SigningKey(seed).public_jwk() == key.public_jwk()


@pytest.mark.parametrize("seed", [b"\0" * 32, b"\xff" * 32])
def test_the_least_and_the_greatest_seed_make_keys(seed):
    check(signed(SigningKey(seed)), SigningKey(seed))


def test_who_holds_the_pair_holds_the_key():
    root = CallKeys(b"root")
    alone = PairKeys({">".join(PAIR): root.key(*PAIR).hex()})
    assert SigningKey.of(alone).keyid == SigningKey.of(root).keyid
    with pytest.raises(Unauthenticated):
        SigningKey.of(PairKeys({}))
