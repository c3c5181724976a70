"""Declarations that contradict themselves end where they stand: when the class is made."""

import pytest

from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation


class Asked(Request, frozen=True, kw_only=True):
    """A request."""

    account: str
    amount: int = 0


class Made(Answer, frozen=True, kw_only=True):
    """An answer."""

    owner: str


def contract(route="POST /things", *, batch=False, **declared):
    async def single(self, ctx: Context, request: Asked) -> Made:
        """Do it."""

    async def many(self, calls: Batch[Asked]) -> Answers[Made]:
        """Do them."""

    function = many if batch else single
    function.__name__ = "do"
    members = {"do": operation(route, **declared)(function)}
    return type("Things", (Contract,), members, name="things", version="1.0.0")


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"public": True, "may": "view", "on": "account"},
        {"public": True, "on": "inside"},
        {"public": True, "may": "make", "four_eyes": True, "moves_money": True},
        {"public": True, "may": "make", "batch": True},
        {"route": "POST /things/{account}", "subject": "owner", "sees": ("amount", "owner")},
        {"route": "GET /things/{account}"},
        {"command": False},
        {"batch": True, "command": False, "deadline_ms": 50},
    ],
)
def test_sound_declarations_are_taken(declared):
    made = contract(**declared).operations()["do"]
    assert made.id == "things.do"
    assert made.request is Asked
    assert made.answer is Made


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (
            {"batch": True, "public": True, "may": "make", "four_eyes": True},
            "batch cannot be under",
        ),
        ({"batch": True, "route": "POST /things/{account}"}, "batch has no fields in its path"),
        ({"route": "POST /things/{id}"}, "no field id"),
        ({"public": True, "may": "view", "on": "acount"}, "no field acount"),
        ({"public": True}, "is checked"),
        ({"public": True, "on": "account"}, "means nothing"),
        ({"four_eyes": True, "may": "make"}, "public operations alone"),
        ({"public": True, "on": "inside", "four_eyes": True}, "need a right"),
        ({"command": False, "moves_money": True}, "only a command"),
        ({"public": True, "may": "make", "command": False, "four_eyes": True}, "only a command"),
        ({"route": "GET /things", "command": True}, "GET is no command"),
        ({"sees": ("amuont",)}, "sees"),
        ({"subject": "amount"}, "subject"),
    ],
)
def test_contradictions_are_refused_with_what_is_wrong(declared, why):
    with pytest.raises(TypeError, match=why) as refused:
        contract(**declared)
    assert str(refused.value).startswith("things.do: ")


def test_an_implementation_has_its_contracts_operations():
    made = contract()
    service = type("Service", (made,), {})
    assert service.operations() == made.operations()
    assert set(made.operations()) == {"do", "events", "self_check"}
    assert set(Contract.operations()) == {"events", "self_check"}
