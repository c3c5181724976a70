"""A platform started by its own command, and a client with nothing but the standard library."""

import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent.parent
GUILDER = [sys.executable, "-m", "guilder.cli"]
PATIENCE = 600

TOPOLOGIES: dict[str, tuple[str, ...]] = {"together": (), "split": ("--split",)}
"""One process or one a service, and what `up` is told for it. Every journey passes on both."""


def guilder(*argv: str, data: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the CLI on the platform in `data`."""
    command = [*GUILDER, *argv, "--data", str(data)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT
    )
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def up(data: Path, *more: str) -> dict[str, Any]:
    """Start a platform on a free port; what `up --json` printed."""
    done = guilder("up", "--port", "0", "--detach", "--json", *more, data=data)
    return json.loads(done.stdout)


class Answer:
    """An HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], raw: bytes) -> None:
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Client:
    """One token, one connection a request."""

    def __init__(self, api: str, token: str | None = None) -> None:
        self.host = api.removeprefix("http://")
        self.token = token

    def send(
        self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str
    ) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        if key:
            given["Idempotency-Key"] = key
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        connection = HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body, given)
            reply = connection.getresponse()
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, names, reply.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status == 200, (answer.status, answer.raw)
        return answer.json

    def post(self, path: str, body: Any, key: str | None = None, status: int = 201) -> Any:
        answer = self.send("POST", path, body, key or str(uuid4()))
        assert answer.status == status, (answer.status, answer.raw)
        return answer.json


def signed_in(api: str, client_id: str, secret: str) -> Client:
    """A client with a token from client credentials."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = Client(api).send(
        "POST",
        "/oauth/token",
        urlencode(form).encode(),
        Content_Type="application/x-www-form-urlencoded",
    )
    assert answer.status == 200, answer.raw
    return Client(api, answer.json["access_token"])


def person(api: str, data: Path, tenant: str, login: str) -> Client:
    """A person signed in by the operator's `guilder token`."""
    token = guilder("token", "--tenant", tenant, "--user", login, data=data).stdout.strip()
    return Client(api, token)


def berka() -> Path:
    """Where the real bank's records are."""
    given = os.environ.get("GUILDER_BERKA_DIR")
    return Path(given) if given else ROOT.parent / "shared" / "data" / "berka"
