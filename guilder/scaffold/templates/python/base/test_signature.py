import base64
import hashlib
import json
import tempfile
import unittest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from problems import Problem
from signature import COVERED, Keys, verify

NOW = 1_800_000_000
BODY = b'{"tenant":7,"items":[]}'
PRIVATE = ec.generate_private_key(ec.SECP256R1())


def _text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _keys():
    numbers = PRIVATE.public_key().public_numbers()
    x, y = (_text(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    key = {"kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y}
    jwks = {"keys": [key, {**key, "kid": "k3", "guilder_use": "attestations"}]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "keys.json")
        path.write_text(json.dumps(jwks), "utf-8")
        return Keys(str(path))


def signed(created=NOW, keyid="k1", covered=COVERED):
    """The headers of a request as the platform sends it."""
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
    parameters = (
        f"({covered});created={created};expires={created + 30}"
        f';keyid="{keyid}";alg="ecdsa-p256-sha256"'
    )
    base = (
        '"@method": POST\n"@authority": 127.0.0.1:8401\n"@path": /x/v1/y\n'
        f'"content-digest": {digest}\n"@signature-params": {parameters}'
    )
    r, s = decode_dss_signature(PRIVATE.sign(base.encode(), ec.ECDSA(SHA256())))
    raw = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    return {
        "host": "127.0.0.1:8401",
        "content-digest": digest,
        "signature-input": f"guilder={parameters}",
        "signature": f"guilder=:{raw}:",
    }


class Signature(unittest.TestCase):
    keys = _keys()

    def check(self, headers=None, *, method="POST", path="/x/v1/y", body=BODY, now=NOW):
        verify(method, path, signed() if headers is None else headers, body, self.keys, now)

    def refused(self, *args, **more):
        with self.assertRaises(Problem) as caught:
            self.check(*args, **more)
        self.assertEqual(caught.exception.code, "unauthenticated")

    def test_what_the_platform_signed_holds(self):
        self.check()
        self.check(now=NOW + 29)

    def test_what_it_did_not_sign_is_refused(self):
        self.refused(body=b"{}")
        self.refused(path="/x/v1/z")
        self.refused(method="PUT")
        self.refused({**signed(), "host": "elsewhere"})
        self.refused({**signed(), "signature": "guilder=:AAAA:"})
        self.refused({})

    def test_a_signature_has_its_time_its_key_and_its_parts(self):
        self.refused(now=NOW + 30)
        self.refused(signed(created=NOW + 60))
        self.refused(signed(keyid="k2"))
        self.refused(signed(keyid="k3"))  # of attestations, not of requests
        self.refused(signed(covered='"@method"'))
