"""All SQL of accounts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guilder.chassis.store import Tx
from guilder.services.accounts.agreement import Terms

_ACCOUNT = (
    "SELECT a.*, ARRAY(SELECT h.party FROM holder h WHERE h.tenant=a.tenant AND h.account=a.id"
    " ORDER BY h.place) AS holders FROM account a"
)


async def reserve(
    tx: Tx, tenant: int, account: UUID, change: UUID, terms: Terms, until: datetime
) -> bool:
    """Write an account that is being opened; False when its reference is taken."""
    added = await tx.execute(
        "INSERT INTO account (tenant, id, product, currency, overdraft, state, opened_on,"
        " reference, change, wanted, change_until)"
        " VALUES ($1,$2,$3,$4,$5,'opening',$6,$7,$8,'open',$9)"
        " ON CONFLICT (tenant, reference) DO NOTHING",
        tenant,
        account,
        terms.product,
        terms.currency,
        terms.overdraft,
        terms.opened_on,
        terms.reference,
        change,
        until,
    )
    if added:
        rows = [(tenant, account, n, party) for n, party in enumerate(terms.holders)]
        await tx.many(
            "INSERT INTO holder (tenant, account, place, party) VALUES ($1,$2,$3,$4)", rows
        )
    return bool(added)


async def find(tx: Tx, tenant: int, account: UUID) -> Any:
    """An account's row with its holders, in whatever state, or None."""
    return await tx.row(f"{_ACCOUNT} WHERE a.tenant=$1 AND a.id=$2", tenant, account)


async def lock(tx: Tx, tenant: int, account: UUID) -> Any:
    """The same, locked until the transaction ends."""
    return await tx.row(
        f"{_ACCOUNT} WHERE a.tenant=$1 AND a.id=$2 FOR UPDATE OF a", tenant, account
    )


async def begin(
    tx: Tx, tenant: int, account: UUID, change: UUID, wanted: str, until: datetime
) -> None:
    """Note what a change leads to and who carries it out until when."""
    await tx.execute(
        "UPDATE account SET change=$3, wanted=$4, change_until=$5 WHERE tenant=$1 AND id=$2",
        tenant,
        account,
        change,
        wanted,
        until,
    )


async def extend(tx: Tx, tenant: int, account: UUID, change: UUID, until: datetime) -> None:
    """Change until when the present carrier has a change to himself."""
    await tx.execute(
        "UPDATE account SET change_until=$4"
        " WHERE tenant=$1 AND id=$2 AND change=$3 AND wanted IS NOT NULL",
        tenant,
        account,
        change,
        until,
    )


async def take_overdue(tx: Tx, tenant: int, until: datetime, limit: int) -> list[Any]:
    """Take over changes whose carrier has given up or died."""
    rows = await tx.fetch(
        "UPDATE account SET change_until=$2 WHERE tenant=$1 AND id IN ("
        "SELECT id FROM account WHERE tenant=$1 AND wanted IS NOT NULL AND change_until<=$3"
        " ORDER BY change_until LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING id",
        tenant,
        until,
        tx.at,
        limit,
    )
    ids = [row["id"] for row in rows]
    return await tx.fetch(f"{_ACCOUNT} WHERE a.tenant=$1 AND a.id=ANY($2)", tenant, ids)


async def end(tx: Tx, tenant: int, account: UUID, change: UUID) -> bool:
    """Put the account into the state the change led to; False when somebody else has."""
    return bool(
        await tx.execute(
            "UPDATE account SET state=wanted, wanted=NULL, change_until=NULL"
            " WHERE tenant=$1 AND id=$2 AND change=$3 AND wanted IS NOT NULL",
            tenant,
            account,
            change,
        )
    )


async def number(tx: Tx, tenant: int, account: UUID, change: UUID, number: int, iban: str) -> bool:
    """Give an account that is being opened its number and open it; False when it was opened."""
    return bool(
        await tx.execute(
            "UPDATE account SET number=$4, iban=$5, state=wanted, wanted=NULL, change_until=NULL"
            " WHERE tenant=$1 AND id=$2 AND change=$3 AND state='opening'",
            tenant,
            account,
            change,
            number,
            iban,
        )
    )


async def drop(tx: Tx, tenant: int, account: UUID, change: UUID) -> None:
    """Forget a change that was refused; the account stays as it is."""
    await tx.execute(
        "UPDATE account SET wanted=NULL, change_until=NULL"
        " WHERE tenant=$1 AND id=$2 AND change=$3 AND state<>'opening'",
        tenant,
        account,
        change,
    )


async def next_number(tx: Tx, tenant: int) -> int:
    """The tenant's next account number; locked until the transaction ends."""
    found: int = await tx.value(
        "INSERT INTO account_number (tenant, next) VALUES ($1, 1)"
        " ON CONFLICT (tenant) DO UPDATE SET next=account_number.next RETURNING next",
        tenant,
    )
    return found


async def set_next_number(tx: Tx, tenant: int, number: int) -> None:
    """Go on from here with the tenant's next account."""
    await tx.execute("UPDATE account_number SET next=$2 WHERE tenant=$1", tenant, number)


async def find_many(
    tx: Tx, ids: list[tuple[int, UUID]], ibans: list[tuple[int, str]]
) -> dict[tuple[int, UUID | str], Any]:
    """Accounts that were opened, by (tenant, id) and (tenant, IBAN)."""
    rows = await tx.fetch(
        # OFFSET 0 keeps these look-ups by index, however young the planner's statistics are
        "SELECT f.* FROM unnest($1::int[], $2::uuid[]) AS w(tenant, id) CROSS JOIN LATERAL"
        f" ({_ACCOUNT} WHERE a.tenant=w.tenant AND a.id=w.id AND a.state<>'opening' OFFSET 0) f"
        " UNION ALL"
        " SELECT f.* FROM unnest($3::int[], $4::text[]) AS v(tenant, iban) CROSS JOIN LATERAL"
        f" ({_ACCOUNT} WHERE a.tenant=v.tenant AND a.iban=v.iban OFFSET 0) f",
        [tenant for tenant, _ in ids],
        [account for _, account in ids],
        [tenant for tenant, _ in ibans],
        [iban for _, iban in ibans],
    )
    found: dict[tuple[int, UUID | str], Any] = {}
    for row in rows:
        found[row["tenant"], row["id"]] = found[row["tenant"], row["iban"]] = row
    return found


async def page(
    tx: Tx,
    tenant: int,
    allowed: list[UUID] | None,
    holder: UUID | None,
    reference: str | None,
    after: UUID | None,
    limit: int,
) -> list[Any]:
    """Accounts that were opened, by id, after one; `allowed` None = all of the tenant."""
    return await tx.fetch(
        f"{_ACCOUNT} WHERE a.tenant=$1 AND a.state<>'opening'"
        " AND ($2::uuid[] IS NULL OR a.id=ANY($2)) AND ($3::uuid IS NULL OR EXISTS (SELECT 1"
        " FROM holder h WHERE h.tenant=a.tenant AND h.account=a.id AND h.party=$3))"
        " AND ($4::text IS NULL OR a.reference=$4) AND ($5::uuid IS NULL OR a.id>$5)"
        " ORDER BY a.id LIMIT $6",
        tenant,
        allowed,
        holder,
        reference,
        after,
        limit,
    )


async def all_accounts(tx: Tx, tenant: int) -> list[Any]:
    """Every account of a tenant in whatever state, for the self check."""
    return await tx.fetch(f"{_ACCOUNT} WHERE a.tenant=$1 ORDER BY a.id", tenant)
