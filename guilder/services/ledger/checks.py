"""Proves the books: recomputes everything that can be recomputed."""

from collections.abc import AsyncIterator

from guilder.chassis.store import Store, Tx
from guilder.contracts.declare import Finding, SelfCheck
from guilder.services.ledger import store, store_checks
from guilder.services.ledger.chain import GENESIS, Link
from guilder.services.ledger.journal import Row

MOST = 20
"""Findings about the chain; after so many the rest says nothing new."""


async def prove(database: Store) -> SelfCheck:
    """Run every proof over every tenant, then walk the chain."""
    findings: list[Finding] = []
    facts: dict[str, str] = {}
    transfers = 0
    async with database.tx() as tx:
        next_seq, _ = await store.head(tx)
    # Read after the head: whoever booked up to it is among them.
    tenants = await database.seen_tenants()
    for tenant in tenants:
        async with database.tx(tenant) as tx:
            await store_checks.freeze(tx)
            for proof in store_checks.PROOFS:
                findings += [
                    Finding(check=proof, detail=detail, tenant=tenant)
                    for detail in await store_checks.violations(tx, tenant, proof)
                ]
            count, totals = await store_checks.tenant_facts(tx, tenant)
        transfers += count
        facts[f"tenant.{tenant}.transfers"] = str(count)
        facts |= {f"tenant.{tenant}.debits.{cur}": str(sum_) for cur, sum_ in totals.items()}
    async with database.tx(*tenants) as tx:
        await store_checks.freeze(tx)
        chain = Chain()
        await chain.walk(tx, next_seq - 1)
        findings += chain.findings
    facts |= {"chain.seq": str(next_seq - 1), "chain.hash": chain.prev.hex()}
    facts["transfers"] = str(transfers)
    checked = {"tenants": len(tenants), "transfers": transfers, "batches": chain.batches}
    return SelfCheck(service="ledger", checked=checked, findings=findings, facts=facts)


class Chain:
    """A walk along the chain, row by row, a page in memory at a time."""

    def __init__(self) -> None:
        """Start before the first link."""
        self.prev, self.batches = GENESIS, 0
        self.findings: list[Finding] = []
        self._expected = 1

    async def walk(self, tx: Tx, last: int) -> None:
        """Recompute every link up to a seq."""
        rows = store_checks.rows(tx, last)
        row = await anext(rows, None)
        async for batch in store_checks.batches(tx, last):
            if len(self.findings) >= MOST:
                return
            row = await self._link(batch, rows, row)
        if row is not None or self._expected <= last:
            self._add("chain-gap", f"the chain ends before seq {self._expected}, not at {last}")
        next_seq, _ = await store.head(tx)
        stray = await store_checks.beyond(tx, next_seq - 1)
        if stray:
            self._add("chain-gap", f"{stray} transfers stand after the last link of the chain")

    async def _link(
        self, batch: store_checks.Batch, rows: AsyncIterator[Row], row: Row | None
    ) -> Row | None:
        """Check one batch; returns the first row behind it."""
        self.batches += 1
        first, end = batch.first_seq, batch.first_seq + batch.n
        if first != self._expected:
            self._add("chain-gap", f"a batch starts at seq {first}, not at {self._expected}")
        if batch.prev != self.prev:
            self._add("chain-link", f"batch at seq {first} does not stand on the one before")
        link, seen = Link(batch.prev), first
        while row is not None and row.seq < end:
            if row.seq != seen:
                self._add("seq-gap", f"seq {seen} is missing: the next is {row.seq}", row.tenant)
            link.add([row])
            seen = row.seq + 1
            row = await anext(rows, None)
        if seen != end:
            self._add("seq-gap", f"batch at seq {first} lacks its rows from seq {seen}")
        if link.digest() != batch.hash:
            self._add("chain-hash", f"batch at seq {first}: its rows are not what was booked")
        self.prev, self._expected = batch.hash, end
        return row

    def _add(self, check: str, detail: str, tenant: int | None = None) -> None:
        self.findings.append(Finding(check=check, detail=detail, tenant=tenant))
