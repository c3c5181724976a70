"""What benchmarks share: a throw-away platform, and a bank on it with accounts that can pay."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from guilder.chassis.wire import Address, Reply, Wire

OVERDRAFT = "9999999.00"
UNLIMITED = {
    "GUILDER_GATEWAY_PRINCIPAL_RATE": "1000000",
    "GUILDER_GATEWAY_TENANT_RATE": "1000000",
    "GUILDER_GATEWAY_AUDIT_RATE": "1000000",
}


@contextmanager
def platform(env: Mapping[str, str], *more: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Its data directory and what `up --json` says, until the end of the block.

    `more` are further options of `guilder up`.
    """
    folder = Path(tempfile.mkdtemp(prefix="guilder-bench-"))
    guilder = [sys.executable, "-m", "guilder.cli"]
    up = [*guilder, "up", "--data", str(folder), "--port", "0", "--demo", "--detach", "--json"]
    try:
        started = subprocess.run(
            [*up, *more], env={**os.environ, **env}, check=True, capture_output=True
        )
        yield folder, json.loads(started.stdout)
    finally:
        subprocess.run([*guilder, "down", "--data", str(folder)], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


class Bank:
    """A demo bank's machine client."""

    def __init__(self, facts: dict[str, Any], tenant: str, currency: str = "EUR") -> None:
        """`facts` as `platform` gives them."""
        host, _, port = facts["api"].removeprefix("http://").partition(":")
        self.address = Address(host=host, port=int(port))
        self._client = next(bank for bank in facts["demo"] if bank["tenant"] == tenant)
        self.client_id: str = self._client["client_id"]
        self.currency = currency
        self.accounts: list[str] = []

    async def token(self, wire: Wire) -> str:
        """A fresh access token."""
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self._client["client_id"],
                "client_secret": self._client["client_secret"],
            }
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await wire.request("POST", "/oauth/token", headers, form.encode())
        token: str = expect(reply, 200)["access_token"]
        return token

    async def open_accounts(self, wire: Wire, token: str, count: int) -> None:
        """Accounts whose overdraft is never used up."""
        party = {"kind": "person", "name": "Bench"}
        holder = expect(await post(wire, "/v1/parties", token, party), 201)["id"]
        overdraft = {"amount": OVERDRAFT, "currency": self.currency}
        account = {"holders": [holder], "overdraft": overdraft}
        for _ in range(count):
            made = expect(await post(wire, "/v1/accounts", token, account), 201)
            self.accounts.append(made["id"])


def expect(reply: Reply, status: int) -> dict[str, Any]:
    """The answer, when it has the status; RuntimeError otherwise."""
    if reply.status != status:
        raise RuntimeError(f"{reply.status} instead of {status}: {reply.body[:300]!r}")
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


async def post(wire: Wire, path: str, token: str, body: Any, key: str | None = None) -> Reply:
    """One command, under a new key unless one is given."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": key or str(uuid4()),
    }
    return await wire.request("POST", path, headers, json.dumps(body).encode())
