"""IBANs: made of a tenant's own bank code, and read from what people type."""

import re
import warnings
from typing import Final

from schwifty import IBAN
from schwifty.exceptions import NationalChecksumNotVerified, SchwiftyException

from guilder.contracts.accounts.v1 import BadIban

MAX_TRIES: Final = 500
"""How many numbers are tried. Czech and Slovak account numbers have their own check digit, which
one number in eleven satisfies by chance; no country is stricter."""

_SHAPE: Final = re.compile("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_TYPED: Final = re.compile("[A-Za-z0-9 ]{1,64}")

# Countries without check digits of their own are simply checked by the IBAN's.
warnings.filterwarnings("ignore", category=NationalChecksumNotVerified)


def make(country: str, bank_code: str, number: int) -> str | None:
    """The IBAN of an account number at a bank; None when the country forbids that number."""
    try:
        made = str(IBAN.generate(country, bank_code=bank_code, account_code=str(number)))
        return str(IBAN(made, validate_bban=True))
    except SchwiftyException:
        return None


def first(country: str, bank_code: str, number: int) -> tuple[int, str]:
    """The first allowed number from `number` on, with its IBAN; LookupError when none is left."""
    for candidate in range(number, number + MAX_TRIES):
        made = make(country, bank_code, candidate)
        if made is not None:
            return candidate, made
    raise LookupError(f"no account number from {number} on makes an IBAN in {country}")


def read(text: str) -> str:
    """The IBAN somebody typed, without spaces and in capitals; BadIban unless its checks hold.

    Only ASCII counts: a digit that merely looks like one is refused, never folded.
    """
    bare = text.replace(" ", "").upper() if _TYPED.fullmatch(text) else ""
    if not _SHAPE.fullmatch(bare):
        raise BadIban("this has not the shape of an IBAN")
    try:
        return str(IBAN(bare))
    except SchwiftyException:
        raise BadIban("its country, length or check digits do not hold") from None
