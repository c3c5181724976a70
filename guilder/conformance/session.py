"""One run against one edition: what every check asks with, and where what it finds is kept."""

import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from guilder.chassis.contract import encode, plain
from guilder.chassis.wire import Reply
from guilder.conformance import judge
from guilder.conformance.checks import TRANSPORT, Broken, GivenUp
from guilder.conformance.client import Came, Client, Sent
from guilder.conformance.judge import Refusal
from guilder.conformance.signer import Signer
from guilder.conformance.subject import Marked, Subject
from guilder.contracts.declare import Operation
from guilder.contracts.edition import DEADLINE, REQUEST, Manifest, banner, path

TENANTS: Final = (2147480001, 2147480002, 2147480003)
"""The tenants of a run: no platform gives out such numbers, and every edition answers them."""

MOST_HICCUPS: Final = 3
"""How often in a run a late answer is asked for again: whoever is slow is late again."""

Sign = Callable[[str, str, str, bytes], dict[str, str]]
"""Headers that sign a request: of its method, authority, path and body."""


class Session:
    """An edition under examination."""

    def __init__(
        self,
        subject: Subject,
        client: Client,
        signer: Signer | None,
        examples: int,
        patience_s: float,
    ) -> None:
        """`signer` None: nothing is signed. `examples` is how many cases a check makes up.

        After `patience_s` seconds lost to answers that did not come, the run is given up.
        """
        self.subject, self.client, self.signer, self.examples = subject, client, signer, examples
        self.operation: Operation = subject.operation
        self.deadline_s = self.operation.deadline_ms / 1000
        self.path = path(self.operation)
        self.manifest: Manifest | None = None
        self.broken: list[Broken] = []
        self.answered = self.hiccups = 0
        self.marks: list[tuple[int, str]] = []
        self._left_s = patience_s

    def random(self, salt: str) -> random.Random:
        """Chance that is the same in every run."""
        return random.Random(f"{self.subject.name} {salt}")

    def fresh_questions(self, salt: str, count: int) -> list[Any]:
        """So many different questions that the contract allows."""
        return self.subject.questions(self.random(salt), count)

    def note(self, error: Broken) -> None:
        """Keep what is wrong; GivenUp where the edition hardly answers any more."""
        self.broken.append(error)
        if error.check in TRANSPORT:
            self._left_s -= self.deadline_s
            if self._left_s < 0 or error.check == "reachable":
                raise GivenUp

    def confide(self, tenant: int, question: Marked) -> Any:
        """A question of which nobody but this tenant may hear, from now on."""
        self.marks += [(tenant, mark.casefold()) for mark in question.marks]
        return question.request

    def send(self, sent: Sent) -> Came:
        """Send one request; once more where the answer is late, which a busy machine may be."""
        (came,) = self.send_all([sent])
        return came

    def send_all(self, requests: Sequence[Sent]) -> list[Came]:
        """Send them at once; all once more where an answer is late."""
        came = self.client.send_all(requests)
        if any(one.late for one in came) and self.hiccups < MOST_HICCUPS:
            self.hiccups += 1
            came = self.client.send_all(requests)
        return came

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    def sent(self, body: bytes, sign: Sign | None = None) -> Sent:
        """A request with this body, signed as the run signs unless said otherwise."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            DEADLINE: str(self.operation.deadline_ms),
            REQUEST: f"conformance-{secrets.token_hex(8)}",
        }
        if sign is None and self.signer is not None:
            sign = self.signer.headers
        if sign is not None:
            whole = self.client.prefix + self.path
            headers |= sign("POST", self.client.authority, whole, body)
        return Sent("POST", self.path, headers, body, self.deadline_s)

    def batch(self, tenant: int, requests: Sequence[Any]) -> Sent:
        """The request that asks these."""
        seen = [
            {name: value for name, value in plain(one).items() if name in self.operation.sees}
            for one in requests
        ]
        return self.sent(encode({"tenant": tenant, "items": seen}))

    def ask(self, tenant: int, requests: Sequence[Any]) -> list[Any]:
        """What an edition answers, item by item; Broken for what breaks a rule.

        Where the subject allows a refusal, that is an answer too, and comes as a Refusal.
        """
        return self.read(tenant, requests, self.send(self.batch(tenant, requests)))

    def try_one(self, tenant: int, one: Any) -> Any:
        """What an edition answers to one item, which may be a Refusal of any code."""
        came = self.send(self.batch(tenant, [one]))
        return self._decoded(tenant, [one], came, any_refusal=True)[0]

    def read(self, tenant: int, requests: Sequence[Any], came: Came) -> list[Any]:
        """Judge the answer to these."""
        found = self._decoded(tenant, requests, came)
        for one, answer in zip(requests, found, strict=True):
            if fault := self._fault(one, answer):
                if len(requests) > 1 and not self._fault(one, self._hear(tenant, [one])[0]):
                    self.compare(tenant, requests, found)  # it is wrong in company alone
                raise Broken("invariants", f"{fault}: {plain(answer)}", one)
        return found

    def _fault(self, one: Any, answer: Any) -> str | None:
        if isinstance(answer, Refusal) or self.operation.faults is None:
            return None
        return next(self.operation.faults(one, answer), None)

    def _hear(self, tenant: int, requests: Sequence[Any]) -> list[Any]:
        """Ask to compare: whether it is right is not judged."""
        return self._decoded(tenant, requests, self.send(self.batch(tenant, requests)))

    def _decoded(
        self, tenant: int, requests: Sequence[Any], came: Came, *, any_refusal: bool = False
    ) -> list[Any]:
        reply = judge.transported(came)
        self._apart(tenant, requests, reply)
        found: list[Any] = []
        for one, item in zip(requests, judge.items(reply, self.banner, requests), strict=True):
            if "problem" in item:
                problem = judge.refusal(item["problem"], one)
                if not any_refusal and not self.subject.may_refuse(one, problem.code):
                    raise Broken("answers", f"{problem.code}: {problem.detail}", one)
                found.append(problem)
            else:
                found.append(judge.answer(self.operation, item["answer"], one))
        return found

    def _apart(self, tenant: int, requests: Sequence[Any], reply: Reply) -> None:
        self.answered += 1
        text = f"{reply.body.decode('utf-8', 'replace')} {reply.headers}".casefold()
        for whose, mark in self.marks:
            if whose != tenant and mark in text:
                came = f"{mark!r}, which tenant {whose} had asked about, told to tenant {tenant}"
                raise Broken("tenants-apart", came, requests)

    @property
    def banner(self) -> str:
        """What the header Guilder-Edition has to say."""
        if self.manifest is None:
            return ""
        return banner(msgspec.structs.replace(self.manifest, contract=self.subject.name))

    # ── comparing ────────────────────────────────────────────────────────────────────────────

    def same(self, tenant: int, requests: Sequence[Any], before: list[Any], when: str) -> None:
        """Ask again, and hear the same."""
        again = self._hear(tenant, requests)
        for one, old, new in zip(requests, before, again, strict=True):
            if old != new:
                came = f"{_plain(new)} {when}, {_plain(old)} before"
                raise Broken("same-answer", came, one)

    def compare(self, tenant: int, requests: Sequence[Any], batch: list[Any]) -> None:
        """Ask each of a batch alone; what differs is named by how it differs."""
        alone = [self._hear(tenant, [one])[0] for one in requests]
        if alone == batch:
            return
        self.same(tenant, requests, batch, "when the batch was repeated")
        for one, answer in zip(requests, alone, strict=True):
            self.same(tenant, [one], [answer], "when it was asked again")
        if Counter(map(str, alone)) == Counter(map(str, batch)):
            raise Broken("order", "the right answers in another order", list(requests))
        n = next(i for i, pair in enumerate(zip(alone, batch, strict=True)) if pair[0] != pair[1])
        came = f"{_plain(batch[n])} as number {n + 1} of {len(batch)}, {_plain(alone[n])} alone"
        raise Broken("batch-is-singles", came, requests[n])


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, msgspec.Struct) else value
