"""All SQL of what was seen of bindings."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.services.registry.observation import Key, Sum, slot

MOST_FIELDS: Final = 50
MOST_DIFFERENCES: Final = 100
"""So many rows of differences are kept of a binding; others are only counted."""

KEEP_SLOTS: Final = timedelta(hours=1)
KEEP_KEYS: Final = timedelta(minutes=10)
"""A report is repeated within seconds or not at all."""

Sums = Mapping[UUID, Sum]


async def claim(tx: Tx, key: str, taken: int) -> int | None:
    """Note that a report is taken now; None, or what it was answered with if it was before."""
    fresh = await tx.execute(
        "INSERT INTO observation (key, taken, at) VALUES ($1,$2,$3) ON CONFLICT DO NOTHING",
        key,
        taken,
        tx.at,
    )
    if fresh:
        return None
    found: int = await tx.value("SELECT taken FROM observation WHERE key=$1", key)
    return found


async def add(tx: Tx, sums: Sums) -> None:
    """Add to everything seen so far, to the present slot and to the failures by kind."""
    await tx.many(
        "INSERT INTO binding_seen AS s (binding, calls, fallbacks, total_ms, slowest_ms, compared,"
        " equal, dropped, first_at, last_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$9)"
        " ON CONFLICT (tenant, binding) DO UPDATE SET calls = s.calls + EXCLUDED.calls,"
        " fallbacks = s.fallbacks + EXCLUDED.fallbacks,"
        " total_ms = s.total_ms + EXCLUDED.total_ms,"
        " slowest_ms = greatest(s.slowest_ms, EXCLUDED.slowest_ms),"
        " compared = s.compared + EXCLUDED.compared, equal = s.equal + EXCLUDED.equal,"
        " dropped = s.dropped + EXCLUDED.dropped,"
        " last_at = greatest(s.last_at, EXCLUDED.last_at)",
        [
            (
                b,
                s.calls,
                s.fallbacks,
                s.total_ms,
                s.slowest_ms,
                s.compared,
                s.equal,
                s.dropped,
                tx.at,
            )
            for b, s in sums.items()
        ],
    )
    await tx.many(
        "INSERT INTO binding_slot AS s (binding, at, calls, failures, fallbacks, total_ms,"
        " slowest_ms) VALUES ($1,$2,$3,$4,$5,$6,$7)"
        " ON CONFLICT (tenant, binding, at) DO UPDATE SET calls = s.calls + EXCLUDED.calls,"
        " failures = s.failures + EXCLUDED.failures,"
        " fallbacks = s.fallbacks + EXCLUDED.fallbacks,"
        " total_ms = s.total_ms + EXCLUDED.total_ms,"
        " slowest_ms = greatest(s.slowest_ms, EXCLUDED.slowest_ms)",
        [
            (b, slot(tx.at), s.calls, s.failed, s.fallbacks, s.total_ms, s.slowest_ms)
            for b, s in sums.items()
        ],
    )
    await tx.many(
        "INSERT INTO binding_failure AS f (binding, kind, count) VALUES ($1,$2,$3)"
        " ON CONFLICT (tenant, binding, kind) DO UPDATE SET count = f.count + EXCLUDED.count",
        [(b, kind, n) for b, s in sums.items() for kind, n in sorted(s.failures.items()) if n],
    )


async def add_differences(tx: Tx, binding: UUID, found: Mapping[Key, int]) -> None:
    """Add to a binding's differences; what finds no place any more is counted as omitted.

    The binding's row in binding_seen is locked by `add`, so nobody else adds meanwhile.
    """
    omitted = 0
    fields = await tx.value("SELECT count(*) FROM binding_field WHERE binding=$1", binding)
    rows = await tx.value("SELECT count(*) FROM binding_difference WHERE binding=$1", binding)
    for (field, currency, delta, serving, other), count in found.items():
        where = binding, field, currency
        done = await tx.execute(
            "UPDATE binding_field SET count = count + $4, total_minor = total_minor + $5 * $4,"
            " least_minor = least(least_minor, $6), most_minor = greatest(most_minor, $6)"
            " WHERE binding=$1 AND field=$2 AND currency=$3",
            *where,
            count,
            delta or 0,
            delta,
        )
        if not done and fields < MOST_FIELDS:
            fields += 1
            await tx.execute(
                "INSERT INTO binding_field (binding, field, currency, count, total_minor,"
                " least_minor, most_minor) VALUES ($1,$2,$3,$4,$5,$6,$6)",
                *where,
                count,
                (delta or 0) * count,
                delta,
            )
        values = *where, delta, serving, other, count
        done = await tx.execute(
            "UPDATE binding_difference SET count = count + $7 WHERE binding=$1 AND field=$2"
            " AND currency=$3 AND delta_minor IS NOT DISTINCT FROM $4"
            " AND serving IS NOT DISTINCT FROM $5 AND other IS NOT DISTINCT FROM $6",
            *values,
        )
        if done:
            continue
        if rows < MOST_DIFFERENCES:
            rows += 1
            await tx.execute(
                "INSERT INTO binding_difference (binding, field, currency, delta_minor, serving,"
                " other, count) VALUES ($1,$2,$3,$4,$5,$6,$7)",
                *values,
            )
        else:
            omitted += count
    if omitted:
        await tx.execute(
            "UPDATE binding_seen SET omitted = omitted + $2 WHERE binding=$1", binding, omitted
        )


async def lately(tx: Tx, bindings: list[UUID], since: datetime) -> dict[UUID, Any]:
    """What was seen of bindings in the slots that end after a moment, by id."""
    rows = await tx.fetch(
        "SELECT binding, sum(calls)::bigint AS calls, sum(failures)::bigint AS failures,"
        " sum(fallbacks)::bigint AS fallbacks, sum(total_ms)::bigint AS total_ms,"
        " max(slowest_ms) AS slowest_ms FROM binding_slot"
        " WHERE binding = ANY($1::uuid[]) AND at >= $2 GROUP BY binding",
        bindings,
        slot(since),
    )
    return {row["binding"]: row for row in rows}


async def failures(tx: Tx, binding: UUID) -> dict[Any, int]:
    """Failures of a binding by kind, all of them."""
    rows = await tx.fetch("SELECT kind, count FROM binding_failure WHERE binding=$1", binding)
    return {row["kind"]: row["count"] for row in rows}


async def everything(tx: Tx, binding: UUID) -> Any:
    """All that was seen of a binding, or None."""
    return await tx.row("SELECT * FROM binding_seen WHERE binding=$1", binding)


async def fields(tx: Tx, binding: UUID) -> list[Any]:
    """The fields in which it differed, the most frequent first."""
    return await tx.fetch(
        "SELECT * FROM binding_field WHERE binding=$1"
        " ORDER BY count DESC, field, currency LIMIT $2",
        binding,
        MOST_FIELDS,
    )


async def differences(tx: Tx, binding: UUID) -> list[Any]:
    """The ways in which it differed, the most frequent first."""
    return await tx.fetch(
        "SELECT * FROM binding_difference WHERE binding=$1 ORDER BY count DESC, n LIMIT $2",
        binding,
        MOST_DIFFERENCES,
    )


async def forget(tx: Tx) -> None:
    """Delete slots and keys that nobody asks for any more."""
    await tx.execute("DELETE FROM binding_slot WHERE at < $1", tx.at - KEEP_SLOTS)
    await tx.execute("DELETE FROM observation WHERE at < $1", tx.at - KEEP_KEYS)
