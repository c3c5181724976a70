import unittest

from edition import check
from problems import Problem

NOBODY = {"kind": "person", "name": "Ada Lovelace", "country": "GB", "birth_date": None}
LISTED = {"kind": "person", "name": "Zebulon Quillfeather Varnhagen"}


def checked(payer=NOBODY, payee=NOBODY):
    return check({"payer": payer, "payee": payee, "at": "2026-03-02T12:00:00Z"})


class Checks(unittest.TestCase):
    def test_who_is_on_no_list_is_clear(self):
        self.assertEqual((checked()["verdict"], checked()["hits"]), ("clear", []))

    def test_who_is_on_the_list_is_a_hit_on_either_side_in_any_order_with_any_accents(self):
        for name in ("Zebulon Quillfeather Varnhagen", "VARNHAGEN, Zébulon Quillfeather"):
            for side in ("payer", "payee"):
                hits = checked(**{side: {**LISTED, "name": name}})["hits"]
                self.assertEqual([(h["side"], h["entry"]) for h in hits], [(side, "S-1")])

    def test_another_kind_and_another_year_of_birth_clear(self):
        self.assertEqual(checked({**LISTED, "birth_date": "1951-07-23"})["verdict"], "hit")
        self.assertEqual(checked({**LISTED, "birth_date": "1990-07-23"})["verdict"], "clear")
        self.assertEqual(checked({**LISTED, "kind": "organisation"})["verdict"], "clear")

    def test_what_is_not_as_the_contract_says_is_refused(self):
        wrong = [{"kind": "robot"}, {"name": ""}, {"name": 5}, {"country": "gb"}, {"more": 1}]
        for more in [*wrong, {"birth_date": "1951-02-30"}, {"birth_date": 5}, {"kind": []}]:
            with self.assertRaises(Problem, msg=repr(more)):
                checked({**LISTED, **more})
