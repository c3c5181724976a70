"""What a transfer costs. This is the file to change: a fee of 0.1 percent, 10 units at most."""

from functools import partial
from typing import Any

from money import DECIMALS, percent_of, read_money, write_money
from problems import attempt
from reading import members, moment, one_of

CONTRACT = "pricing"
CONTRACT_VERSION = "__CONTRACT_VERSION__"
EDITION = "__EDITION__"
VERSION = "1.0.0"
PATH = "/pricing/v1/quotes"
DISCLAIMS: list[str] = []
"""What the suite may test and this edition does not offer."""

PERCENT_E4 = 1_000  # 0.1 percent, in ten-thousandths of a percent
MOST_UNITS = 10


def answer_batch(tenant: int, items: list[Any], deadline: float) -> list[dict[str, Any]]:
    """One answer or problem per item, in order."""
    return [attempt(partial(quote, item)) for item in items]


def quote(item: Any) -> dict[str, Any]:
    """Pure: the same question always gets the same answer, and nothing else happens.

    `rule` is the sentence that whoever pays reads.
    """
    asked = members(item, "operation product amount at")
    one_of(asked["operation"], "operation", "book_transfer")
    one_of(asked["product"], "product", "current savings")
    moment(asked["at"], "at")
    minor, currency = read_money(asked["amount"])
    fee = percent_of(minor, PERCENT_E4) if minor > 0 else 0
    most = MOST_UNITS * 10 ** DECIMALS[currency]
    return {
        "fee": write_money(min(fee, most), currency),
        "rule": f"0.1 % of the amount, at most {MOST_UNITS} {currency}",
    }
