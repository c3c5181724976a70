"""What a receiver is told to verify, run as the guide prints it: in Python and in Node."""

import base64
import json
import re
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from guilder.services.notifications import signing

GUIDE = (Path(__file__).parents[3] / "docs/guides/webhooks.md").read_text("utf-8")
SECRET = bytes(range(32))
DELIVERY, AT = UUID("019cade2-11c0-7f00-8000-000000000001"), 1772443800
BODY = (
    b'{"data":{"payment":"019cade2-11c0-7417-9c6a-b3a5bc1c3bdb"},'
    b'"timestamp":"2026-03-02T09:30:00Z","type":"payment.booked"}'
)
SIGNED = "v1,8Hpm+qs4kAW50wQwle5YM2kcJ5vUsSSYmmm9JMem2Yk="


def block(language):
    return re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)[1]


def python_says(cases):
    recipe = {}
    exec(compile(block("python"), "guide", "exec"), recipe)  # noqa: S102
    return [recipe["verify"](s, h, b.encode(), now) for s, h, b, now in cases]


def node_says(cases):
    script = block("javascript") + (
        'const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));'
        "console.log(JSON.stringify("
        "cases.map(([s, h, b, now]) => verify(s, h, Buffer.from(b), now))));"
    )
    done = subprocess.run(
        ["node", "-e", script], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def a_case(*, keys=(SECRET,), body=BODY, now=AT, secret=SECRET, **changes):
    headers = signing.headers(keys, DELIVERY, AT, BODY) | changes
    return [signing.written(secret), headers, body.decode(), now]


GOOD = {
    "as it came": a_case(),
    "five minutes late": a_case(now=AT + 300),
    "clock ahead": a_case(now=AT - 300),
    "first of two secrets": a_case(keys=(SECRET, b"x" * 32)),
    "second of two secrets": a_case(keys=(b"x" * 32, SECRET)),
}
BAD = {
    "no signature": a_case(**{"webhook-signature": ""}),
    "no id": a_case(**{"webhook-id": ""}),
    "no timestamp": a_case(**{"webhook-timestamp": ""}),
    "old": a_case(now=AT + 301),
    "of the future": a_case(now=AT - 301),
    "old, with a new timestamp": a_case(now=AT + 900, **{"webhook-timestamp": str(AT + 900)}),
    "another id": a_case(**{"webhook-id": str(UUID(int=7))}),
    "another secret": a_case(secret=b"x" * 32),
    "re-serialised": a_case(body=json.dumps(json.loads(BODY)).encode()),
    "order of members": a_case(body=json.dumps(dict(reversed(json.loads(BODY).items()))).encode()),
    "one space more": a_case(body=BODY + b" "),
    "another version": a_case(**{"webhook-signature": SIGNED.replace("v1", "v2")}),
    "cut short": a_case(**{"webhook-signature": SIGNED[:-1]}),
    "foreign digits": a_case(**{"webhook-timestamp": "١٧٧٢٤٤٣٨٠٠"}),
}


def test_the_signature_is_the_golden_one():
    """The guide's example; and the one that the public libraries of Standard Webhooks test by."""
    assert signing.sign(SECRET, DELIVERY, AT, BODY) == SIGNED
    assert signing.written(SECRET) in GUIDE
    assert SIGNED in GUIDE
    assert BODY.decode() in GUIDE
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    public = signing.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert public == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.abuse(64)
@pytest.mark.parametrize("says", [python_says, node_says])
def test_the_guides_recipe_takes_what_is_genuine_and_nothing_else(says):
    assert dict(zip(GOOD, says(list(GOOD.values())), strict=True)) == dict.fromkeys(GOOD, True)
    assert dict(zip(BAD, says(list(BAD.values())), strict=True)) == dict.fromkeys(BAD, False)


async def test_what_is_posted_passes_the_recipe(desk, endpoint):
    made = await desk.register(endpoint)
    await desk.queue(made)
    await desk.engine.round()
    ((_, headers, body),) = endpoint.posts
    now = desk.clock.now().timestamp()
    case, other = [[s, headers, body.decode(), now] for s in (made.secret, "whsec_eA==")]
    assert python_says([case, other]) == node_says([case, other]) == [True, False]


def test_secrets_are_long_and_never_the_same():
    made = {signing.fresh() for _ in range(50)}
    assert len(made) == 50
    assert {len(secret) for secret in made} == {32}
