"""What must be true of identity's own tables."""

import re
from collections.abc import Iterator
from typing import Any

from guilder.chassis.store import Store
from guilder.contracts.context import PLATFORM
from guilder.contracts.declare import Finding, SelfCheck
from guilder.contracts.errors import Problem
from guilder.services.identity import store
from guilder.services.identity.keyring import Keyring
from guilder.services.identity.tokens import OPERATOR

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}", re.ASCII)


async def run(database: Store, keys: Keyring) -> SelfCheck:
    """Check people and clients of every tenant, and the signing keys."""
    findings: list[Finding] = []
    checked = {"people": 0, "clients": 0, "keys": 0}
    for tenant in await database.seen_tenants():
        async with database.tx(tenant) as tx:
            people, clients = await store.everyone(tx)
        checked["people"] += len(people)
        checked["clients"] += len(clients)
        findings += [*_people(people), *_clients(clients)]
    async with database.tx(PLATFORM) as tx:
        rows = await store.all_keys(tx)
    checked["keys"] = len(rows)
    findings += _keys(rows, keys)
    return SelfCheck(service="identity", checked=checked, findings=findings, facts={})


def _people(rows: list[Any]) -> Iterator[Finding]:
    for row in rows:
        if not _LOGIN.fullmatch(row["login"]):
            yield _finding("login", f"person {row['id']} has a login nobody can use", row)


def _clients(rows: list[Any]) -> Iterator[Finding]:
    for row in rows:
        if row["id"] != OPERATOR and len(row["secret_digest"]) != 32:
            yield _finding("client-secret", f"client {row['id']} has a bad digest", row)
        if row["id"] == OPERATOR and (row["tenant"] != PLATFORM or row["secret_digest"]):
            yield _finding("operator", "the first operator was changed", row)


def _keys(rows: list[Any], keys: Keyring) -> Iterator[Finding]:
    if rows and sum(row["verifies_until"] is None for row in rows) != 1:
        yield Finding(check="signing-key", detail="not exactly one key signs", tenant=PLATFORM)
    for row in rows:
        try:
            keys.unseal(row)
        except Problem as problem:
            yield _finding("signing-key", f"key {row['id']}: {problem.detail}", row)


def _finding(name: str, detail: str, row: Any) -> Finding:
    return Finding(check=name, detail=detail, tenant=row["tenant"])
