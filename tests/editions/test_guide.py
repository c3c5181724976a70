"""docs/guides/write-an-edition.md does what it says: every block of it is replayed."""

import hashlib
import json
import re
import shlex
import subprocess
import sys
import time
from base64 import b64encode

import click
import pytest
from click.testing import CliRunner

from guilder.chassis.signature import BadSignature, content_digest, verify
from guilder.cli import main
from guilder.contracts.edition import MANIFEST, SIGNED
from tests.editions.running import KEY, ROOT, run, running

GUIDE = (ROOT / "docs" / "guides" / "write-an-edition.md").read_text("utf-8")
AT = 1_800_000_000
BLOCK = re.compile(r"(?:<!-- (\w+) -->\n)?```(\w+)\n(.*?)\n```", re.DOTALL)


def blocks(kind):
    return [(name, text) for name, language, text in BLOCK.findall(GUIDE) if language == kind]


def named(name):
    (text,) = (text for found, language, text in BLOCK.findall(GUIDE) if found == name)
    return text


def request():
    """The request that the guide shows: method, path and headers by small letters."""
    (text,) = (text for _, text in blocks("text") if text.startswith("POST "))
    first, *lines = text.splitlines()
    method, path, _ = first.split()
    return method, path, {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide")
    (line,) = (text for _, text in blocks("sh") if text.startswith("guilder service new"))
    args = [str(folder / "own-pricing") if a == "own-pricing" else a for a in line.split()[1:]]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    said = result.output.replace(f"{folder}/", "").strip()
    assert said in [text for _, text in blocks("text")]
    with running([sys.executable, "serve.py"], folder / "own-pricing") as edition:
        yield edition


def test_the_manifest_is_as_shown(edition):
    shown, found = json.loads(named("manifest")), edition.get(MANIFEST).document
    drafted = {**shown, "contract_version": found["contract_version"], "digest": found["digest"]}
    assert found == drafted
    assert found["contract_version"].startswith(shown["contract_version"])
    (header,) = (t for _, t in blocks("text") if t.startswith("Guilder-Edition: "))
    assert header == f"Guilder-Edition: pricing B.1.0.0 {shown['digest']}"


def test_the_question_is_answered_as_shown(edition):
    asked = json.loads(named("body"))
    _, path, _ = request()
    answer = edition.ask(path, *asked["items"], tenant=asked["tenant"])
    assert answer.document == json.loads(named("answer"))


def test_the_refusal_is_as_shown(edition):
    body = b"{}"
    headers = {"Content-Type": "application/json"}
    headers |= KEY.sign(
        "POST", edition.url.removeprefix("http://"), request()[1], body, int(time.time())
    )
    answer = edition.exchange("POST", request()[1], body, headers)
    shown = json.loads(named("refusal"))
    assert (answer.status, answer.document) == (shown["status"], shown)


def test_the_golden_vector_holds_and_is_made_as_described():
    method, path, headers = request()
    body = named("body").encode()
    assert (len(body), str(len(body))) == (268, headers["content-length"])
    assert headers["content-digest"] == content_digest(body)
    assert b64encode(hashlib.sha256(body).digest()).decode() in headers["content-digest"]
    label, _, parameters = headers["signature-input"].partition("=")
    values = (method, headers["host"], path, headers["content-digest"])
    lines = [f'"{name}": {value}' for name, value in zip(SIGNED, values, strict=True)]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    assert (label, base) == ("guilder", named("base"))
    (jwk,) = json.loads(named("key"))["keys"]
    assert {name: jwk[name] for name in KEY.public_jwk()} == KEY.public_jwk()
    where = {"method": method, "authority": headers["host"], "path": path, "headers": headers}
    verify(jwk, **where, body=body, now=AT)
    for wrong in ({"body": body + b" ", "now": AT}, {"body": body, "now": AT + 30}):
        with pytest.raises(BadSignature):
            verify(jwk, **where, **wrong)


def test_the_golden_vector_holds_for_an_edition_in_python(tmp_path):
    folder = tmp_path / "own"
    args = ["service", "new", "pricing", "--lang", "python", str(folder)]
    assert CliRunner().invoke(main, args).exit_code == 0
    method, path, headers = request()
    (folder / "keys.json").write_text(named("key"))
    (folder / "golden.json").write_text(json.dumps([method, path, headers, named("body")]))
    program = (
        "import json; from signature import Keys, verify;"
        " m, p, h, b = json.load(open('golden.json'));"
        f" verify(m, p, h, b.encode(), Keys('keys.json'), {AT})"
    )
    run([sys.executable, "-c", program], folder)


def test_every_command_of_the_guide_exists_with_its_options():
    lines = [line for _, text in blocks("sh") for line in text.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("guilder ")]
    assert len(commands) >= 6
    for words in commands:
        command: click.Command = main
        while isinstance(command, click.Group):
            assert words[0] in command.commands, words
            command, words = command.commands[words[0]], words[1:]
        known = {option for p in command.params for option in p.opts}
        assert {word for word in words if word.startswith("--")} <= known, words
        command.make_parser(click.Context(command)).parse_args(list(words))


def test_other_commands_of_the_guide_are_shell():
    for _, text in blocks("sh"):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
