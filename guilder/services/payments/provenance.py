"""Provenance: what was asked for each decision on a payment, and the fee derived once more."""

import re
from typing import Any

import msgspec

from guilder.chassis.batch import answered
from guilder.contracts.context import Context, Principal
from guilder.contracts.errors import Problem
from guilder.contracts.payments.provenance import Decision, Explanation, Verdict
from guilder.contracts.pricing.v1 import Quoted
from guilder.contracts.values import Money
from guilder.services.payments.others import Others, question
from guilder.services.payments.payment import AS_QUOTED, read_priced

_LABEL = re.compile(
    r"(?P<contract>[a-z-]+) (?P<edition>[A-Z])\.(?P<version>\S+)( \((?P<how>.+)\))?"
)


def decision(row: Any, payment: Any) -> Decision:
    """A decision as its row and the payment's hold it."""
    label = _LABEL.fullmatch(row["label"])
    assert label is not None, row["label"]
    return Decision(
        step=row["step"],
        edition=label["edition"],
        version=label["version"],
        binding=row["binding"],
        generation=row["generation"],
        fallback=label["how"] == "fallback",
        asked=dict(_asked(row, payment)),
        answered=row["outcome"],
        at=row["at"],
        took_us=row["took_us"],
    )


def _asked(row: Any, payment: Any) -> Any:
    """What was asked, as far as it is not personal."""
    amount = repr(Money(payment["amount"], payment["currency"]))
    if row["step"] == "pricing" and row["product"] is not None:
        yield "operation", "book_transfer"
        yield "product", row["product"]
        yield "amount", amount
    elif row["step"] == "access" and payment["reverses"] is None:
        yield "right", "make"
        yield "operation", "payments.create"
        yield "account", str(payment["debtor"])
    elif row["step"] == "ledger":
        yield "debit", str(payment["debtor"])
        yield "credit", str(payment["creditor"])
        yield "amount", amount
    if row["at"] is not None:
        yield "at", row["at"].isoformat()


async def explain(
    others: Others, ctx: Context, payment: Any, decisions: list[Decision]
) -> Explanation:
    """Derive the fee again: ask who decided it what was asked then."""
    priced = next((d for d in decisions if d.step == "pricing"), None)
    facts = Explanation(
        payment=payment["id"],
        state=payment["state"],
        amount=Money(payment["amount"], payment["currency"]),
        fee=None if payment["fee"] is None else Money(payment["fee"], payment["currency"]),
        rule=None,
        decision=priced,
        verdict="undecided",
        sentences=[],
    )
    if priced is None:
        return msgspec.structs.replace(facts, sentences=[_undecided(payment)])
    fee, rule = read_priced(priced.answered, facts.amount.currency)
    facts = msgspec.structs.replace(facts, fee=fee, rule=rule)
    again = await _again(others, _in_whose_name(ctx, payment), priced, facts.amount)
    return _told(facts, priced, again)


def _in_whose_name(ctx: Context, payment: Any) -> Context:
    """As whoever ordered it: a canary serves some people and not others."""
    who = Principal(payment["principal"], payment["principal_kind"], payment["party"])
    return msgspec.structs.replace(ctx, principal=who)


Again = tuple[Verdict, str | None, Quoted | None, str]
"""The verdict so far, who was asked, what was said, and why nothing was."""


async def _again(others: Others, ctx: Context, priced: Decision, amount: Money) -> Again:
    """Ask the edition that decided, where it still can be reached, else say why not."""
    if "product" not in priced.asked or priced.at is None:
        return "unrecorded", None, None, "what was asked was not kept yet when it was decided"
    bound = others.bound(ctx, "pricing")
    same = (bound.edition, bound.version) == (priced.edition, priced.version)
    stock = priced.binding is None or priced.fallback
    if not stock and not same:
        said = f"{_name(priced)} is no longer bound here, {bound.label} is: it was not asked again"
        return "unbound", None, None, said
    asked = question(priced.asked["product"], amount, priced.at)  # type: ignore[arg-type]
    client = others.stock_pricing if stock else others.pricing
    try:
        quoted, by = await answered(client.quote, ctx, asked)
    except Problem as problem:
        return "silent", None, None, f"asked again today it gave no answer: {problem.detail}"
    if by.fallback and not priced.fallback:
        return "silent", by.label, None, "asked again today it gave no answer, and stock stood in"
    return "same", by.label, quoted, ""


def _told(facts: Explanation, priced: Decision, again: Again) -> Explanation:
    """The explanation with its verdict, in sentences."""
    verdict, by, quoted, why = again
    binding = "none" if priced.binding is None else str(priced.binding)
    instead = " in place of the edition that is bound" if priced.fallback else ""
    first = (
        f"{facts.rule} = {facts.fee}, said by {_name(priced)}{instead}, binding {binding},"
        f" generation {priced.generation}"
    )
    if quoted is None:
        sentences = [f"{first}; {why}"]
        return msgspec.structs.replace(facts, verdict=verdict, again=by, sentences=sentences)
    rule = str(facts.rule).removesuffix(AS_QUOTED)
    equal = quoted.fee == facts.fee and quoted.rule == rule
    other = "" if by == _name(priced) else f" by {by}"
    said = "the same" if equal else f"{quoted.rule} = {quoted.fee}"
    sentences = [f"{first}; asked again today{other}: {said}"]
    if quoted.fee != facts.fee:
        differs = f"the fee differs by {quoted.fee - facts.fee}"  # type: ignore[operator]
        sentences.append(f"{differs}: the same question must have the same answer, look into it")
    return msgspec.structs.replace(
        facts,
        verdict="same" if equal else "different",
        again=by,
        fee_again=quoted.fee,
        rule_again=quoted.rule,
        sentences=sentences,
    )


def _undecided(payment: Any) -> str:
    """Why nothing was priced."""
    if payment["reverses"] is not None:
        return (
            f"this payment reverses {payment['reverses']}: amount and fee go back as they were"
            " booked there, and no edition was asked; explain that payment instead"
        )
    if payment["state"] == "refused":
        return f"it was refused ({payment['refusal_code']}) before anybody asked what it costs"
    if payment["state"] == "booked":
        return "an attempt that was cut off had it booked; what it was told was lost with it"
    return f"the payment is {payment['state']}: it is priced when it goes on"


def _name(of: Decision) -> str:
    return f"{of.step} {of.edition}.{of.version}"
