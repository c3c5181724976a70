"""Cases: what is sealed with whose key, and how it is read again. No SQL, no clock."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from guilder.chassis.contract import encode
from guilder.chassis.seal import Sealer
from guilder.contracts.screening import v1
from guilder.contracts.vault.v1 import Erased

SIDE, REASON = "side.sealed", "screening_case.reason"


class About(msgspec.Struct, frozen=True):
    """What a case holds about one side."""

    side: v1.Side
    hits: list[v1.Hit]


async def seal(sealer: Sealer, tenant: int, side: v1.Examined) -> bytes | None:
    """Seal what is known of a side with the key of its party; None = it was erased."""
    try:
        return await sealer.seal(tenant, side.party, SIDE, encode(About(side.side, side.hits)))
    except Erased:
        return None


async def examined(sealer: Sealer, row: Any) -> v1.Examined | None:
    """A side as it was checked; None where the party was erased."""
    if row["sealed"] is None:
        return None
    try:
        raw = await sealer.open(row["tenant"], row["party"], SIDE, bytes(row["sealed"]))
    except Erased:
        return None
    about = msgspec.json.decode(raw, type=About)
    return v1.Examined(role=row["role"], party=row["party"], side=about.side, hits=about.hits)


def _concerned(sides: Sequence[Any]) -> list[UUID]:
    """Whom the reason of a decision is about: everybody who was hit, once."""
    return list(dict.fromkeys(side["party"] for side in sides if side["hits"]))


async def seal_reason(
    sealer: Sealer, tenant: int, sides: Sequence[Any], reason: str
) -> bytes | None:
    """Seal a reason with the key of everybody it is about: none reads it without all of them."""
    sealed = reason.encode()
    try:
        for party in _concerned(sides):
            sealed = await sealer.seal(tenant, party, REASON, sealed)
    except Erased:
        return None
    return sealed


async def open_reason(sealer: Sealer, row: Any, sides: Sequence[Any]) -> str | None:
    """Read a reason again; None where there is none, or somebody it is about was erased."""
    if row["reason"] is None:
        return None
    raw = bytes(row["reason"])
    try:
        for party in reversed(_concerned(sides)):
            raw = await sealer.open(row["tenant"], party, REASON, raw)
    except Erased:
        return None
    return raw.decode()
