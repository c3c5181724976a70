"""Runs conformance suites against editions, and attests those that pass. Composed into the service.

A run is a row; whoever leases it asks the edition what it is, runs the suite, asks again, and ends
the row together with its attestation. Who dies on the way leaves a lease that runs out.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from guilder.chassis.contract import decode, encode
from guilder.chassis.events import SYSTEM
from guilder.chassis.idempotency import Once, local
from guilder.chassis.store import Store, Tx
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Finding, Nothing
from guilder.contracts.edition import Manifest
from guilder.contracts.registry import attestations as wire, v1
from guilder.services.registry import attestation_store as rows, manifest
from guilder.services.registry.approval import operators_only
from guilder.services.registry.manifest import AskEdition, NoManifest, Unanswered
from guilder.services.registry.notary import Notary, Statement
from guilder.services.registry.suite import Outcome, Suite, SuiteBroken, clean
from guilder.services.registry.verdict import LONGEST_DETAIL, Verdict, check, moves, of_suite

WORK_SECONDS: Final = 1.0
"""How often a process looks for a run that waits."""

BEAT_SECONDS: Final = 1.0
"""How often it writes how far a run is, and that it still works on it."""

LEASE: Final = timedelta(seconds=30)
MOST_ATTEMPTS: Final = 3
MOST_RUNNING: Final = 20
"""The most runs that have not ended; they are worked on one after the other."""

MOST_CHECKED: Final = 1_000
"""The most attestations that a self check looks at."""

MOST_LINES: Final = 50
"""The lines of progress that are kept."""


@dataclass
class Editions:
    """What deals with other people's editions."""

    notary: Notary
    suite: Suite
    ask: AskEdition
    request_key: dict[str, str]
    """The public key of what is sent to editions (RFC 7517)."""


class ConformanceDesk(v1.Registry):
    """Conformance runs, attestations and the keys that editions check us by."""

    store: Store
    once: Once
    editions: Editions

    @local
    async def conform(self, tx: Tx, ctx: Context, request: wire.Conform) -> wire.ConformanceRun:
        """Write down that it is to be run; a worker takes it up within a second."""
        operators_only(ctx)
        contract = all_contracts().get(request.contract)
        if contract is None:
            raise v1.UnknownContract(f"no contract {request.contract}", at="$.contract")
        if not contract.replaceable():
            raise wire.NotReplaceable(f"{request.contract} stays stock", at="$.contract")
        url = self.editions.ask.check(request.url)
        if await rows.count_running(tx) >= MOST_RUNNING:
            raise wire.TooManyRuns(f"{MOST_RUNNING} have not ended")
        await rows.add_run(tx, ctx, request, url)
        tx.emit(ctx, "conformance-run.begun", run=tx.resource, contract=request.contract)
        return _run(await rows.find_run(tx, tx.resource))

    async def conformance_run(self, ctx: Context, request: wire.RunId) -> wire.ConformanceRun:
        """Read a run."""
        operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            row = await rows.find_run(tx, request.run_id)
        if row is None:
            raise wire.UnknownRun(f"no run {request.run_id}")
        return _run(row)

    async def attestations(self, ctx: Context, request: wire.AttestationQuery) -> wire.Attestations:
        """List attestations, and whether each still counts."""
        operators_only(ctx)
        async with self.store.tx(PLATFORM) as tx:
            found = await rows.page(tx, request)
            items = [await self._attestation(row, tx) for row in found[: request.limit]]
        following = items[-1].id if len(found) > len(items) else None
        return wire.Attestations(items=items, next=following)

    async def _attestation(self, row: Any, tx: Tx) -> wire.Attestation:
        said = self.editions.notary.statement(row)
        return wire.Attestation(
            id=row["id"],
            run=row["run_id"],
            contract=row["contract"],
            contract_version=row["contract_version"],
            edition=row["edition"],
            version=row["version"],
            url=row["url"],
            digest=row["digest"],
            suite=row["suite_hash"],
            disclaims=said.disclaims if said else [],
            finished_at=row["finished_at"],
            expires_at=row["expires_at"],
            standing=await self.editions.notary.standing(row, tx.at),
            signed=row["signed"],
        )

    async def attestation_findings(self, tx: Tx) -> tuple[int, list[Finding]]:
        """Hold the attestations that are in time against what was signed; how many there are."""
        found = await rows.in_time(tx, MOST_CHECKED)
        altered = [
            row for row in found if await self.editions.notary.standing(row, tx.at) == "altered"
        ]
        details = [f"{row['id']} of run {row['run_id']} is not as it was signed" for row in altered]
        return len(found), [Finding(check="attestation", detail=detail) for detail in details]

    async def edition_keys(self, ctx: Context, request: Nothing) -> wire.EditionKeys:
        """List the public keys."""
        return wire.EditionKeys(keys=[self.editions.request_key, self.editions.notary.public_jwk()])

    # ── the worker ───────────────────────────────────────────────────────────────────────────

    async def work(self) -> bool:
        """Take up the oldest run that waits and see it through (a sweep); False where none does."""
        async with self.store.tx(PLATFORM) as tx:
            run = await rows.lease(tx, tx.at + LEASE)
            learnt = self.editions.suite.learnt
            waits = run is None and not learnt and await rows.in_time(tx, 1)
        if waits:  # for whoever binds: he must not wait for a process that has to start first
            await self.editions.suite.learn()
        if run is None:
            return False
        lines: deque[str] = deque(maxlen=MOST_LINES)
        judging = asyncio.create_task(self._judge(run, lines.append))
        try:
            while not (await asyncio.wait({judging}, timeout=BEAT_SECONDS))[0]:
                if not await self._keep(run, lines, LEASE):
                    return True  # another works on it by now
            verdict = await judging
            await self._keep(run, lines, LEASE)
            await self._end(run, verdict)
        except asyncio.CancelledError:  # this process leaves: another goes on at once
            await self._keep(run, lines, timedelta(0))
            raise
        finally:
            judging.cancel()
            await asyncio.gather(judging, return_exceptions=True)
        return True

    async def _keep(self, run: Any, lines: deque[str], lease: timedelta) -> bool:
        async with self.store.tx(PLATFORM) as tx:
            return await rows.keep(tx, run, tx.at + lease, "\n".join(lines))

    async def _judge(self, run: Any, say: Callable[[str], None]) -> Verdict:
        """Ask the edition what it is, run the suite, ask again."""
        if run["attempts"] > MOST_ATTEMPTS:
            return Verdict(reason=f"whoever worked on it died, {MOST_ATTEMPTS} times")
        contract, url = run["contract"], run["url"]
        try:
            before = await self.editions.ask(url)
            async with self.store.tx(PLATFORM) as tx:
                await rows.note_manifest(tx, run, encode(before).decode())
            identity = check("identity", manifest.faults(before, contract, run["wanted"]))
            if not identity.passed:
                return Verdict([identity])
            outcome = await self.editions.suite.run(contract, url, say)
        except NoManifest as error:
            return Verdict([check("identity", [str(error)])])
        except (SuiteBroken, Unanswered) as error:
            return Verdict(reason=clean(str(error), LONGEST_DETAIL))
        try:
            found = list(moves(before, outcome.manifest, await self.editions.ask(url)))
        except (NoManifest, Unanswered) as error:
            found = [f"after the run: {error}"]
        return Verdict([identity, *of_suite(outcome), check("steady", found)], outcome)

    async def _end(self, run: Any, verdict: Verdict) -> None:
        """End the run; one that passed makes an attestation in the same commit."""
        suite = verdict.outcome.suite if verdict.outcome else None
        kept = encode(verdict.checks).decode(), verdict.reason
        async with self.store.tx(PLATFORM) as tx:
            if not await rows.end_run(tx, run, verdict.state, suite, *kept):
                return  # another has taken it over
            ids = {"run": run["id"], "contract": run["contract"], "state": verdict.state}
            tx.emit(_CTX, "conformance-run.ended", **ids)
            if verdict.state == "passed" and verdict.outcome and verdict.outcome.manifest:
                life = self.editions.notary.life
                statement = _statement(tx, run, verdict.outcome, verdict.outcome.manifest, life)
                await rows.add_attestation(tx, statement, self.editions.notary.sign(statement))
                ids = {"attestation": statement.id, "run": run["id"], "contract": run["contract"]}
                tx.emit(_CTX, "attestation.signed", **ids)


_CTX = Context(tenant=PLATFORM, principal=SYSTEM)


def _statement(tx: Tx, run: Any, outcome: Outcome, tested: Manifest, life: timedelta) -> Statement:
    """What a run that passed attests."""
    return Statement(
        id=tx.resource,
        run=run["id"],
        contract=run["contract"],
        contract_version=outcome.contract_version,
        edition=tested.edition,
        version=tested.version,
        url=run["url"],
        digest=tested.digest,
        suite=outcome.suite,
        disclaims=sorted(tested.disclaims),
        finished_at=tx.at,
        expires_at=tx.at + life,
    )


def _run(row: Any) -> wire.ConformanceRun:
    said = decode(row["manifest"].encode(), Manifest) if row["manifest"] else None
    return wire.ConformanceRun(
        id=row["id"],
        contract=row["contract"],
        url=row["url"],
        wanted=row["wanted"],
        state=row["state"],
        asked_by=row["asked_by"],
        asked_at=row["asked_at"],
        progress=row["progress"].splitlines(),
        checks=decode(row["checks"].encode(), list[wire.Check]),
        contract_version=said and said.contract_version,
        edition=said and said.edition,
        version=said and said.version,
        digest=said and said.digest,
        disclaims=said.disclaims if said else [],
        suite=row["suite"],
        finished_at=row["finished_at"],
        reason=row["reason"],
        attestation=row["attestation"],
    )
