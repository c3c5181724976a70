"""Money as whole minor units: never a float. On the wire a decimal string and a currency."""

import re
from typing import Any

from problems import invalid
from reading import members

TWO = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD "
    "HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN "
    "QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
    "TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
)
NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
THREE = "BHD IQD JOD KWD LYD OMR TND"

DECIMALS = {
    **dict.fromkeys(TWO.split(), 2),
    **dict.fromkeys(NONE.split(), 0),
    **dict.fromkeys(THREE.split(), 3),
}
"""Currencies and the number of decimals of their minor unit."""

MOST = 10**15
_AMOUNT = re.compile(r"(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?", re.ASCII)


def read_money(value: Any) -> tuple[int, str]:
    """Read `{"amount": "12.50", "currency": "EUR"}` as minor units and currency."""
    given = members(value, "amount currency")
    amount, currency = given["amount"], given["currency"]
    decimals = DECIMALS.get(currency) if isinstance(currency, str) else None
    if decimals is None:
        raise invalid("the currency is not known")
    match = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if match is None:
        raise invalid('an amount is a decimal string such as "12.50"')
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > decimals:
        raise invalid(f"the currency has {decimals} decimals")
    minor = int(whole + fraction.ljust(decimals, "0"))
    if minor > MOST or (sign and not minor):
        raise invalid("the amount is out of range")
    return (-minor if sign else minor), currency


def write_money(minor: int, currency: str) -> dict[str, str]:
    """The decimal string of the wire, with all decimals of the currency."""
    decimals = DECIMALS[currency]
    digits = str(abs(minor)).rjust(decimals + 1, "0")
    cut = len(digits) - decimals
    amount = f"{digits[:cut]}.{digits[cut:]}" if decimals else digits
    return {"amount": "-" + amount if minor < 0 else amount, "currency": currency}


def percent_of(minor: int, percent_e4: int) -> int:
    """So many ten-thousandths of a percent of an amount, half up to the minor unit."""
    whole = 100 * 10_000
    return (2 * minor * percent_e4 + whole) // (2 * whole)
