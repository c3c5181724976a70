import unittest

from edition import quote
from problems import Problem

ASKED = {
    "operation": "book_transfer",
    "product": "current",
    "amount": {"amount": "1000.00", "currency": "EUR"},
    "at": "2026-03-02T12:00:00Z",
}


def fee(amount, currency="EUR"):
    return quote({**ASKED, "amount": {"amount": amount, "currency": currency}})["fee"]["amount"]


class Quotes(unittest.TestCase):
    def test_a_tenth_of_a_percent_half_up_at_most_ten_units(self):
        self.assertEqual(fee("1000.00"), "1.00")
        self.assertEqual(fee("4.99"), "0.00")
        self.assertEqual(fee("5.00"), "0.01")  # half a cent
        self.assertEqual(fee("999999.99"), "10.00")
        self.assertEqual(fee("1000", "JPY"), "1")
        self.assertEqual(fee("1.000", "KWD"), "0.001")

    def test_what_is_not_as_the_contract_says_is_refused(self):
        for amount in ("1e3", "0.1.", " 1 ", "+1", "-0", "1.005", "١٢", "01", "", "1\n", 12.5):
            with self.assertRaises(Problem, msg=repr(amount)):
                fee(amount)
        wrong = [{"at": "2026-02-30T00:00:00Z"}, {"at": "2026-02-03T00:00:00"}, {"more": 1}]
        for more in [*wrong, {"product": "shares"}, {"operation": []}, {"amount": 12.5}]:
            with self.assertRaises(Problem, msg=repr(more)):
                quote({**ASKED, **more})
        with self.assertRaises(Problem):
            quote([])
