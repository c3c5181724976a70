"""The step `screening` of a payment: both sides' names, the check, and the case of a hit.

A hit tells the payer nothing but that the bank checks the payment: who was found, on which list,
is for the bank's staff alone, in the case.
"""

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final
from uuid import UUID

from guilder.chassis.batch import answered, one
from guilder.chassis.bindings import Binding
from guilder.chassis.call import Calls
from guilder.chassis.clock import Clock
from guilder.chassis.store import Tx
from guilder.contracts.accounts.v1 import Account
from guilder.contracts.context import Context
from guilder.contracts.declare import Event
from guilder.contracts.errors import NotFound, Unavailable
from guilder.contracts.parties.v1 import NamedParty, Parties
from guilder.contracts.payments.v1 import PaymentDeclined
from guilder.contracts.screening import v1 as screening
from guilder.services.payments import waiting_store
from guilder.services.payments.names import Names
from guilder.services.payments.others import Others
from guilder.services.payments.payment import Attempt, Said, screened

CLEAR: Final = "clear"
PASSED: Final = "passed after a check by the bank"
DECLINED: Final = "declined after a check by the bank"

ROLES: Final[tuple[screening.Role, screening.Role]] = ("payer", "payee")

Asked = tuple[NamedParty, NamedParty]


class Screen:
    """Decides whether a payment may go on, as far as the lists say."""

    def __init__(self, calls: Calls, clock: Clock, others: Others) -> None:
        """`calls` gives the clients of parties and screening."""
        self._others = others
        self._screening = calls.client(screening.Screening)
        self.names = Names(calls.client(Parties), clock)
        self._clock = clock

    async def let_through(
        self, attempt: Attempt, ctx: Context, debtor: Account, creditor: Account
    ) -> None:
        """Return if the payment may go on; the decision is noted with who made it.

        PaymentDeclined where a case was confirmed. Unavailable where a case is open, or where who
        pays whom cannot be learnt or checked: nobody pays unchecked.
        """
        attempt.decide(await self._decide(attempt, ctx, debtor, creditor), self._clock.now())

    async def _decide(
        self, attempt: Attempt, ctx: Context, debtor: Account, creditor: Account
    ) -> Said:
        if attempt.screened is not None:  # the money may have moved since: it stays decided
            return attempt.screened
        if attempt.resumed:
            attempt.asking = "screening"
            which = screening.WhichPayment(payment_id=attempt.id)
            standing = await one(self._screening.standing, ctx, which)
            if standing.state is not None:
                return self._by_case(attempt, standing)
        pairs = await self._pairs(attempt, ctx, debtor, creditor)
        attempt.asking = "screening"
        begun = self._others.begin()
        asked = [answered(self._screening.check, ctx, self._question(pair)) for pair in pairs]
        found = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
        by: Binding = found[0][1]
        if all(checked.verdict == "clear" for checked, _ in found):
            attempt.screened = self._others.decided(ctx, "screening", CLEAR, by, begun=begun)
            return attempt.screened
        if attempt.unsettled is not None:
            # an attempt before may have passed and had it booked: a case of what is booked is none
            attempt.asking = "ledger"
            raise Unavailable("whether it was booked before is not settled yet")
        opened = _case(attempt.id, pairs, [checked for checked, _ in found], by)
        return self._by_case(attempt, await one(self._screening.open_case, ctx, opened))

    async def _pairs(
        self, attempt: Attempt, ctx: Context, debtor: Account, creditor: Account
    ) -> list[Asked]:
        """Everybody who holds the one account with somebody who holds the other, each at least
        once."""
        attempt.asking = "parties"
        wanted = list(dict.fromkeys([*debtor.holders, *creditor.holders]))
        try:
            found = await self.names.of_all(ctx, wanted)
        except NotFound:  # erased: there is no name to check any more, and no payment without
            raise PaymentDeclined("a party to the payment is not known any more") from None
        by_id = dict(zip(wanted, found, strict=True))
        return [
            (by_id[payer or debtor.holders[0]], by_id[payee or creditor.holders[0]])
            for payer, payee in zip_longest(debtor.holders, creditor.holders)
        ]

    def _question(self, pair: Asked) -> screening.Check:
        payer, payee = map(_side, pair)
        return screening.Check(payer=payer, payee=payee, at=self._clock.now())

    def _by_case(self, attempt: Attempt, standing: screening.Standing) -> Said:
        """What the case says: passed, declined, or not yet."""
        by, generation = standing.screened_by or "", standing.generation or 0
        if standing.state == "confirmed":
            attempt.decide(screened(by, generation, DECLINED), self._clock.now())
            raise PaymentDeclined()
        if standing.state != "released":
            attempt.asking = "check"
            raise Unavailable("the bank checks the payment")
        attempt.screened = screened(by, generation, PASSED)
        return attempt.screened


async def case_decided(tx: Tx, event: Event) -> None:
    """Take the payment of a case up at once that was released or confirmed (a reaction)."""
    await waiting_store.wake(tx, event.tenant, UUID(event.ids["payment"]))


def _side(party: NamedParty) -> screening.Side:
    return screening.Side(
        kind=party.kind, name=party.name, country=party.country, birth_date=party.birth_date
    )


def _case(
    payment: UUID, pairs: Sequence[Asked], found: Sequence[screening.Checked], by: Binding
) -> screening.OpenCase:
    """Everybody who was checked, once in each role, with the hits on him."""
    sides: dict[tuple[screening.Role, UUID], screening.Examined] = {}
    for pair, checked in zip(pairs, found, strict=True):
        for role, party in zip(ROLES, pair, strict=True):
            hits = [hit for hit in checked.hits if hit.side == role]
            sides.setdefault(
                (role, party.id),
                screening.Examined(role=role, party=party.id, side=_side(party), hits=hits),
            )
    return screening.OpenCase(
        payment_id=payment,
        sides=list(sides.values()),
        basis=next(checked.basis for checked in found if checked.hits),
        screened_by=by.label,
        generation=by.generation,
    )
