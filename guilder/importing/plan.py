"""Everything an import is going to send, in order, before anything is sent.

The plan is a pure function of the mapping and the files: a repeat gives the same ids in the same
sequence. Amounts are whole minor units of the mapping's currency.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from guilder.importing.chain import Step, chain
from guilder.importing.records import (
    Account,
    Holder,
    Party,
    Source,
    StandingOrder,
    Transaction,
)
from guilder.importing.stable import stable_uuid7
from guilder.importing.tables import Direction, Mapping

UNDATED = date(2000, 1, 1)
"""The clock in ids of parties: a fixed day, since a birth date must not show in an id."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One posting between a customer account and an internal one.

    `counter` is "cash", "interest", "fees", "clearing:<partner bank>", "rounding" or "suspense".
    `direction` is what happens to the customer account; `amount_minor` is above zero. `order`
    counts the account's transfers from 0. `codes` are from closed lists, never free text.
    """

    id: UUID
    external_id: str
    account: str
    counter: str
    direction: Direction
    amount_minor: int
    value_date: date
    order: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Break:
    """A row whose printed balance does not follow from what came before, in minor units."""

    account: str
    external_id: str
    value_date: date
    expected_minor: int
    printed_minor: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What reconciling found. `unchecked` rows have no printed balance to compare with."""

    rows: int
    exact: int
    rounded: int
    unchecked: int
    breaks: tuple[Break, ...]
    rounding_total_abs_minor: int
    suspense_total_abs_minor: int
    negative_balances: int

    @property
    def reconciled(self) -> int:
        """Rows after which our balance equals the printed one without suspense."""
        return self.exact + self.rounded


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent, kind after kind: parties, accounts, holders, standing orders, transfers.

    `transfers` are sorted by value date, then account, then order. `steps` holds each account's
    rows in the order that chains; accounts without rows are absent.
    """

    namespace: str
    currency: str
    minor_digits: int
    zone: str
    parties: tuple[Party, ...]
    accounts: tuple[Account, ...]
    holders: tuple[Holder, ...]
    standing_orders: tuple[StandingOrder, ...]
    transfers: tuple[Transfer, ...]
    steps: dict[str, tuple[Step, ...]]
    summary: Summary

    def party_id(self, external_id: str) -> UUID:
        """The id under which a party is created."""
        return stable_uuid7(f"{self.namespace}/party", external_id, UNDATED)

    def account_id(self, account: Account) -> UUID:
        """The id under which an account is opened; its clock is the opening day."""
        return stable_uuid7(f"{self.namespace}/account", account.external_id, account.opened)

    def record_id(self, kind: Literal["holder", "standing_order"], external_id: str) -> UUID:
        """The id of a record that has no day of its own."""
        return stable_uuid7(f"{self.namespace}/{kind}", external_id, UNDATED)

    def printed_balance(self, account: str, on: date) -> int:
        """The balance the bank last printed up to the end of `on`; 0 before the first row.

        Where the source prints no balances this is the sum of the rows so far.
        """
        steps = self.steps.get(account, ())
        at = bisect_right(steps, on, key=lambda step: step.transaction.value_date)
        return steps[at - 1].balance_minor if at else 0

    def counters(self) -> tuple[str, ...]:
        """The internal accounts the transfers need, sorted."""
        return tuple(sorted({transfer.counter for transfer in self.transfers}))


def build_plan(mapping: Mapping, source: Source, namespace: str | None = None) -> Plan:
    """Order every account's rows and lay out the transfers.

    `namespace` enters every id (default: the mapping's name); two imports of the same files that
    must not meet, for example for two tenants, need two.
    """
    namespace = namespace or mapping.name
    by_account: dict[str, list[Transaction]] = defaultdict(list)
    for row in source.transactions:
        by_account[row.account].append(row)
    steps = {
        account: tuple(chain(rows, mapping.tolerance_minor))
        for account, rows in sorted(by_account.items())
    }
    transfers = [each for account in steps for each in _transfers(namespace, steps[account])]
    transfers.sort(key=lambda each: (each.value_date, each.account, each.order))
    return Plan(
        namespace,
        mapping.currency,
        mapping.minor_digits,
        mapping.zone,
        source.parties,
        source.accounts,
        source.holders,
        source.standing_orders,
        tuple(transfers),
        steps,
        _summary([step for account in steps.values() for step in account]),
    )


def _transfers(namespace: str, steps: Sequence[Step]) -> Iterator[Transfer]:
    """One account's postings. A part of zero is left out: the ledger books no zero."""
    order = 0
    for step in steps:
        row = step.transaction
        codes = (row.code,) if row.purpose == "unstated" else (row.code, row.purpose)
        parts: tuple[tuple[str, int, str, tuple[str, ...]], ...] = (
            ("transfer", row.amount_minor, row.counter, codes),
            ("rounding", step.rounding_minor, "rounding", ("rounding",)),
            ("suspense", step.suspense_minor, "suspense", ("suspense",)),
        )
        for kind, amount, counter, said in parts:
            if amount == 0:
                continue
            yield Transfer(
                stable_uuid7(f"{namespace}/{kind}", row.external_id, row.value_date),
                # '+' cannot stand in an id of the source, so this meets no row's own id
                row.external_id if kind == "transfer" else f"{row.external_id}+{kind}",
                row.account,
                counter,
                "credit" if amount > 0 else "debit",
                abs(amount),
                row.value_date,
                order,
                said,
            )
            order += 1


def _summary(steps: Sequence[Step]) -> Summary:
    count = Counter(step.status for step in steps)
    breaks = (
        Break(
            step.transaction.account,
            step.transaction.external_id,
            step.transaction.value_date,
            step.expected_minor,
            step.balance_minor,
        )
        for step in steps
        if step.status == "break"
    )
    return Summary(
        rows=len(steps),
        exact=count["exact"],
        rounded=count["rounded"],
        unchecked=count["unchecked"],
        breaks=tuple(sorted(breaks, key=lambda each: (each.value_date, each.account))),
        rounding_total_abs_minor=sum(abs(step.rounding_minor) for step in steps),
        suspense_total_abs_minor=sum(abs(step.suspense_minor) for step in steps),
        negative_balances=sum((step.transaction.printed_minor or 0) < 0 for step in steps),
    )
