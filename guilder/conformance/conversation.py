"""Several tenants ask in any order, some of them again: each hears what it heard, and no more."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from guilder.conformance.checks import Broken
from guilder.conformance.fuzz import steady
from guilder.conformance.session import TENANTS, Session

POOL = 6
"""How many questions a tenant chooses from."""

TALKS = 4
"""How many conversations there are at least: the first one made up is always the simplest."""

tenants = st.sampled_from(TENANTS)
places = st.integers(0, POOL - 1)


def held(session: Session) -> str:
    """Hold conversations; the first thing that is wrong ends them."""
    found: list[Broken] = []
    talk = Talk(session)

    class Machine(RuleBasedStateMachine):
        """What may come next."""

        def step(self, do: Any, *given: Any) -> None:
            """Take a step, unless something was wrong before."""
            try:
                if not found:
                    do(*given)
            except Broken as error:
                found.append(error)

        @rule(tenant=tenants, place=places)
        def one(self, tenant: int, place: int) -> None:
            """Ask one question, perhaps again."""
            self.step(talk.ask, tenant, [place])

        @rule(tenant=tenants, chosen=st.lists(places, min_size=2, max_size=5, unique=True))
        def several(self, tenant: int, chosen: list[int]) -> None:
            """Ask a batch, parts of it perhaps again."""
            self.step(talk.ask, tenant, chosen)

    run_state_machine_as_test(Machine, settings=steady(max(session.examples // 10, TALKS)))
    if found:
        raise found[0]
    return f"{talk.steps} steps of {len(TENANTS)} tenants"


class Talk:
    """What was asked and heard so far, over all conversations of a run."""

    def __init__(self, session: Session) -> None:
        """Each tenant has questions of its own, of which the others may not hear."""
        self.session = session
        chance, marked = session.random("conversation"), session.subject.marked
        self.pool = {t: [session.confide(t, marked(chance)) for _ in range(POOL)] for t in TENANTS}
        self.heard: dict[tuple[int, int], Any] = {}
        self.steps = 0

    def ask(self, tenant: int, places: list[int]) -> None:
        """Ask, and compare with what was heard before."""
        self.steps += 1
        requests = [self.pool[tenant][place] for place in places]
        found = self.session.ask(tenant, requests)
        for place, request, answer in zip(places, requests, found, strict=True):
            before = self.heard.setdefault((tenant, place), answer)
            if before != answer:
                self.session.compare(tenant, requests, found)  # where the company matters, say so
                came = f"{answer} later in a conversation, {before} before"
                raise Broken("same-answer", came, request)
