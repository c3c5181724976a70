"""Reading another system's files by a mapping into typed records.

Every problem of every file, and every reference that leads nowhere, is gathered (bounded per
file) and raised together, so that nothing is sent before everything can be read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from guilder.importing.fields import (
    Unreadable,
    amount_reader,
    birth_reader,
    date_reader,
    read_bank,
    read_id,
    read_name,
    values_reader,
)
from guilder.importing.records import Account, Holder, Party, Source, StandingOrder, Transaction
from guilder.importing.rows import BadRow, Fault, Row, SourceError, Table
from guilder.importing.tables import (
    Accounts,
    Amount,
    Code,
    Dates,
    Format,
    Holders,
    Mapping,
    Parties,
    Purpose,
    Purposes,
    Rule,
    StandingOrders,
    Transactions,
)

T = TypeVar("T")
Build = Callable[[Row], T]


class _Identified(Protocol):
    @property
    def external_id(self) -> str: ...
    @property
    def line(self) -> int: ...


R = TypeVar("R", bound=_Identified)


def read_source(mapping: Mapping, directory: Path) -> Source:
    """Read all files the mapping names; raises `SourceError` with every problem found."""
    faults: list[Fault] = []

    def rows(
        table: Parties | Accounts | Holders | StandingOrders | Transactions,
        columns: set[str],
        build: Build[R],
    ) -> tuple[R, ...]:
        file = Table(directory / table.file, table.format or mapping.format, columns | {table.id})
        found = tuple(_once(file, table.id, file.records(build)))
        faults.extend(file.faults)
        return found

    of = mapping
    parties = rows(of.parties, *_parties(of, of.parties)) if of.parties else ()
    accounts = rows(of.accounts, *_accounts(of, of.accounts))
    holders = rows(of.holders, *_holders(of.holders)) if of.holders else ()
    orders = (
        rows(of.standing_orders, *_orders(of, of.standing_orders)) if of.standing_orders else ()
    )
    transactions = rows(of.transactions, *_transactions(of, of.transactions))
    source = Source(parties, accounts, holders, orders, transactions)
    # with rows missing, most dangling references are only echoes of the faults already found
    if not faults:
        faults = list(_dangling(mapping, source))
    if faults:
        raise SourceError(faults)
    return source


def _once(file: Table, column: str, records: Iterable[R]) -> Iterator[R]:
    """Refuse a second record with the same id: it would be taken for a repeat and vanish."""
    seen: set[str] = set()
    for record in records:
        if record.external_id in seen:
            file.fault(record.line, column, record.external_id, "an id used once in this file")
            continue
        seen.add(record.external_id)
        yield record


def _dangling(mapping: Mapping, source: Source) -> Iterator[Fault]:
    """References to records that do not exist, and accounts nobody owns."""
    accounts = {account.external_id for account in source.accounts}
    parties = {party.external_id for party in source.parties}

    def check(
        file: str, column: str, known: Collection[str], refs: Iterable[tuple[int, str]]
    ) -> Iterator[Fault]:
        bad = (ref for ref in refs if ref[1] not in known)
        for (line, value), _ in zip(bad, range(50), strict=False):
            yield Fault(file, line, column, value, "an id that its own file has")

    table = mapping.transactions
    yield from check(
        table.file, table.account, accounts, ((r.line, r.account) for r in source.transactions)
    )
    if mapping.standing_orders:
        orders = mapping.standing_orders
        refs = ((r.line, r.account) for r in source.standing_orders)
        yield from check(orders.file, orders.account, accounts, refs)
    if mapping.holders:
        file = mapping.holders.file
        by_account = ((r.line, r.account) for r in source.holders)
        yield from check(file, mapping.holders.account, accounts, by_account)
        by_party = ((r.line, r.party) for r in source.holders)
        yield from check(file, mapping.holders.party, parties, by_party)
        owned = {r.account for r in source.holders if r.role == "owner"}
        for account in [a for a in source.accounts if a.external_id not in owned][:50]:
            where = (mapping.accounts.file, account.line, mapping.accounts.id)
            yield Fault(*where, account.external_id, f"an account with an owner in {file}")


def _form(mapping: Mapping, table: StandingOrders | Transactions) -> Format:
    return table.format or mapping.format


def _dates(mapping: Mapping, own: Dates | None) -> Dates:
    return own or mapping.dates


def _parties(mapping: Mapping, table: Parties) -> tuple[set[str], Build[Party]]:
    number = table.birth_number
    read_date = date_reader(_dates(mapping, table.dates))
    read_birth = birth_reader(number) if number else None

    def build(row: Row) -> Party:
        name = row.read(table.name, read_name) if table.name else None
        born, sex = None, None
        if number and read_birth:
            born, sex = row.read(number.column, read_birth)
        elif table.birth_date:
            born = row.read(table.birth_date, read_date)
        return Party(row.read(table.id, read_id), row.line, name, born, sex)

    wanted = (table.name, table.birth_date, number.column if number else None)
    return {column for column in wanted if column}, build


def _accounts(mapping: Mapping, table: Accounts) -> tuple[set[str], Build[Account]]:
    read_date = date_reader(_dates(mapping, table.dates))

    def build(row: Row) -> Account:
        return Account(row.read(table.id, read_id), row.line, row.read(table.opened, read_date))

    return {table.opened}, build


def _holders(table: Holders) -> tuple[set[str], Build[Holder]]:
    read_role = values_reader(table.roles)

    def build(row: Row) -> Holder:
        return Holder(
            row.read(table.id, read_id),
            row.line,
            row.read(table.party, read_id),
            row.read(table.account, read_id),
            row.read(table.role, read_role),
        )

    return {table.party, table.account, table.role}, build


def _orders(mapping: Mapping, table: StandingOrders) -> tuple[set[str], Build[StandingOrder]]:
    read_amount = _above_zero(amount_reader(_form(mapping, table), mapping.minor_digits))
    read_purpose = _purpose(table.purpose)

    def build(row: Row) -> StandingOrder:
        return StandingOrder(
            row.read(table.id, read_id),
            row.line,
            row.read(table.account, read_id),
            row.read(table.amount, read_amount),
            row.read(table.partner_bank, read_bank),
            row.read(table.partner_account, read_id),
            read_purpose(row),
        )

    columns = {table.account, table.amount, table.partner_bank, table.partner_account}
    return columns | ({table.purpose.column} if table.purpose else set()), build


def _above_zero(read: Callable[[str], int]) -> Callable[[str], int]:
    def read_above_zero(text: str) -> int:
        minor = read(text)
        if minor <= 0:
            raise Unreadable("an amount above zero")
        return minor

    return read_above_zero


def _purpose(table: Purposes | None) -> Build[Purpose]:
    if table is None:
        return lambda row: "unstated"
    read, column = values_reader(table.values), table.column
    return lambda row: row.read(column, read)


def _transactions(mapping: Mapping, table: Transactions) -> tuple[set[str], Build[Transaction]]:
    read_minor = amount_reader(_form(mapping, table), mapping.minor_digits)
    read_date = date_reader(_dates(mapping, table.dates))
    read_amount = _amount(table.amount, read_minor)
    read_counter = _counter(table)
    read_purpose = _purpose(table.purpose)
    printed = table.balance.column if table.balance else None

    def build(row: Row) -> Transaction:
        counter, code = read_counter(row)
        return Transaction(
            row.read(table.id, read_id),
            row.line,
            row.read(table.account, read_id),
            row.read(table.date, read_date),
            read_amount(row),
            counter,
            code,
            read_purpose(row),
            row.read(printed, read_minor) if printed else None,
        )

    amount = table.amount
    wanted = [table.account, table.date, printed, table.partner_bank]
    wanted += [amount.column, amount.direction, amount.credit, amount.debit]
    wanted += [table.purpose.column if table.purpose else None]
    wanted += [column for rule in table.rules for column in rule.when]
    return {column for column in wanted if column}, build


def _amount(shape: Amount, read: Callable[[str], int]) -> Build[int]:
    """The signed amount: above zero is a credit to the customer."""
    if shape.column and shape.direction and shape.directions:
        column, direction, way = shape.column, shape.direction, values_reader(shape.directions)

        def unsigned(row: Row) -> int:
            minor = row.read(column, read)
            if minor < 0:
                raise BadRow(column, row.text(column), "an amount without a sign")
            return minor if row.read(direction, way) == "credit" else -minor

        return unsigned
    if shape.column:
        column, sign = shape.column, -1 if shape.positive == "debit" else 1
        return lambda row: sign * row.read(column, read)
    credit, debit = shape.credit or "", shape.debit or ""

    def split(row: Row) -> int:
        filled = [name for name in (credit, debit) if row.text(name)]
        if len(filled) != 1 or (minor := row.read(filled[0], read)) < 0:
            shown = " | ".join(row.text(name) for name in (credit, debit))
            what = "exactly one of the two columns filled, without a sign"
            raise BadRow(f"{credit} / {debit}", shown, what)
        return minor if filled[0] == credit else -minor

    return split


def _fits(rule: Rule, values: dict[str, str]) -> bool:
    for column, wanted in rule.when.items():
        if values[column] not in ([wanted] if isinstance(wanted, str) else wanted):
            return False
    return True


def _counter(table: Transactions) -> Build[tuple[str, Code]]:
    """The counter account and code of the first rule that fits."""
    columns = tuple(dict.fromkeys(column for rule in table.rules for column in rule.when))
    known: dict[tuple[str, ...], Rule] = {}

    def read(row: Row) -> tuple[str, Code]:
        values = tuple(row.text(column) for column in columns)
        rule = known.get(values)
        if rule is None:
            named = dict(zip(columns, values, strict=True))
            rule = next((each for each in table.rules if _fits(each, named)), None)
            if rule is None:
                shown = " | ".join(values)
                what = "a combination that one of [[transactions.rules]] names"
                raise BadRow(" / ".join(columns), shown, what)
            if len(known) < 10_000:
                known[values] = rule
        if rule.counter != "clearing":
            return rule.counter, rule.code
        return f"clearing:{row.read(table.partner_bank or '', read_bank)}", rule.code

    return read
