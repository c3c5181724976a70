"""Values every contract speaks: money, currencies, ids, dates.

Money is an integer of minor units beside its currency. On the wire it is a decimal string
(`{"amount": "12.50", "currency": "EUR"}`) with a grammar of its own, because every ready-made
decimal parser also takes floats, exponents, underscores, padding or foreign digits.
"""

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

_TWO: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD "
    "HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN "
    "QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
    "TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
)
_ZERO: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"

CURRENCIES: Final[dict[str, int]] = {
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_ZERO.split(), 0),
    **dict.fromkeys(_THREE.split(), 3),
}
"""Circulating ISO 4217 currencies and the number of decimals of their minor unit."""

MAX_MINOR: Final = 10**15
"""The largest amount one value may carry, in minor units; far below 2**63 so that sums fit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_AMOUNT: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?", re.ASCII)


def decimal(minor: int, currency: str) -> str:
    """Minor units as a decimal string with all of the currency's decimals: sums may be larger than
    what one Money can hold."""
    decimals = CURRENCIES[currency]
    sign = "-" if minor < 0 else ""
    whole, fraction = divmod(abs(minor), 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}" if decimals else f"{sign}{whole}"


class Money:
    """An amount of one currency: integer minor units, never float. Immutable and hashable."""

    __slots__ = ("currency", "minor")

    minor: int
    currency: str

    def __init__(self, minor: int, currency: str) -> None:
        """Raise ValueError for an unknown currency or more than MAX_MINOR minor units."""
        if type(minor) is not int:
            raise ValueError("minor units must be an integer")
        if currency not in CURRENCIES:
            raise ValueError(f"{currency!r} is not a circulating ISO 4217 currency code")
        if abs(minor) > MAX_MINOR:
            raise ValueError(f"the amount is larger than {MAX_MINOR} minor units")
        object.__setattr__(self, "minor", minor)
        object.__setattr__(self, "currency", currency)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: money never changes in place."""
        raise AttributeError("Money is immutable")

    @classmethod
    def parse(cls, amount: str, currency: str) -> Self:
        """Read the wire grammar: `-?digits[.digits]`, at most the currency's decimals, no `-0`."""
        if currency not in CURRENCIES:
            raise ValueError(f"{currency!r} is not a circulating ISO 4217 currency code")
        match = _AMOUNT.fullmatch(amount)
        decimals = CURRENCIES[currency]
        if match is None:
            raise ValueError('the amount must be a plain decimal string such as "12.50"')
        sign, whole, fraction = match[1], match[2], match[3] or ""
        if len(fraction) > decimals:
            raise ValueError(f"{currency} has {decimals} decimals, the amount has {len(fraction)}")
        minor = int(whole) * 10**decimals + int((fraction + "000")[:decimals] or 0)
        if sign and not minor:
            raise ValueError("zero has no sign")
        return cls(-minor if sign else minor, currency)

    @property
    def amount(self) -> str:
        """The decimal string of the wire, always with all of the currency's decimals."""
        return decimal(self.minor, self.currency)

    def __add__(self, other: "Money") -> "Money":
        """Add two amounts of one currency."""
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        """Subtract an amount of the same currency."""
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        """Turn the sign."""
        return Money(-self.minor, self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"cannot combine {self.currency} with {other.currency}")
        return other.minor

    def __eq__(self, other: object) -> bool:
        """Equal amount and currency."""
        return (
            isinstance(other, Money)
            and other.minor == self.minor
            and other.currency == self.currency
        )

    def __hash__(self) -> int:
        """Hash of amount and currency."""
        return hash((self.minor, self.currency))

    def __repr__(self) -> str:
        """Amount and currency as a person writes them."""
        return f"{self.amount} {self.currency}"


def split(minor: int, weights: Iterable[int]) -> list[int]:
    """Divide minor units in proportion to weights >= 0; the parts add up to `minor` exactly.

    Largest remainder first, the earlier part on a tie.
    """
    shares = list(weights)
    total = sum(shares)
    if total <= 0 or min(shares) < 0:
        raise ValueError("weights must be >= 0 and not all zero")
    parts = [minor * share // total for share in shares]
    by_rest = sorted(range(len(shares)), key=lambda i: (-(minor * shares[i] % total), i))
    for i in by_rest[: minor - sum(parts)]:
        parts[i] += 1
    return parts


def uuid7(at: datetime, random: int | None = None) -> UUID:
    """Make a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits.

    `random` fixes those 74 bits where a repeat must be recognised.
    """
    bits = secrets.randbits(74) if random is None else random & ((1 << 74) - 1)
    millis = (at - _EPOCH) // _MILLISECOND & ((1 << 48) - 1)
    high, low = bits >> 62, bits & ((1 << 62) - 1)
    return UUID(int=millis << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def derived(base: UUID, leg: int) -> UUID:
    """Id of the n-th effect of a command: the clock of `base`, its random bits, plus the leg.

    Distinct for legs 0..2**16-1 of one base, and the same at every repeat.
    """
    if not 0 <= leg < 1 << 16:
        raise ValueError("leg must be 0..65535")
    return UUID(int=base.int ^ leg)
