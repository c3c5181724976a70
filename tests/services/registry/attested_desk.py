"""What tests of foreign editions need: one that says what it is, and that was tested."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from itertools import count

import msgspec
from binding_desk import wish

from guilder.chassis.outbound import Rules
from guilder.contracts.context import PLATFORM
from guilder.contracts.edition import Manifest
from guilder.contracts.values import uuid7
from guilder.services.registry import attestation_store
from guilder.services.registry.notary import Notary, Statement, fresh_key

HOME = "http://127.0.0.1:4000"
DIGEST = "sha256:" + "ab" * 32
LATER = count()
"""Of rows that say the same, the last made is looked at first, whatever other tests have left."""

OTHER_DIGEST = "sha256:" + "cd" * 32


def manifest(**changes):
    said = {
        "contract": "pricing",
        "contract_version": "1.0.0",
        "edition": "B",
        "version": "1.0.0",
        "digest": DIGEST,
    }
    return Manifest(**(said | changes))


def foreign(tenant, **changes):
    return wish(tenant, **({"edition": "B", "version": "1.0.0", "address": HOME} | changes))


@dataclass
class Says:
    """In place of the network: every address answers with a manifest, or an exception."""

    answer: object = field(default_factory=manifest)
    asked: list = field(default_factory=list)

    def check(self, url):
        return str(Rules((ip_network("127.0.0.0/8"),)).check(url))

    async def __call__(self, url):
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Lab:
    """A notary, and an edition that it may attest."""

    world: object
    service: object
    says: Says
    suite: str = "suite-1"

    async def current(self, contract):
        return self.suite

    @property
    def notary(self):
        return self.service.editions.notary

    async def attest(self, tamper="", **changes):
        """A row as a passed run leaves it; `tamper` is a digest that somebody wrote in since."""
        now = self.world.clock.now()
        earlier = now - timedelta(days=1)  # behind all others in lists, newest first
        said = {
            "id": uuid7(earlier),
            "run": uuid7(earlier),
            "contract": "pricing",
            "contract_version": "1.0.0",
            "edition": "B",
            "version": "1.0.0",
            "url": HOME,
            "digest": DIGEST,
            "suite": self.suite,
            "disclaims": [],
            "finished_at": now - timedelta(minutes=1),
            "expires_at": now + timedelta(days=30, microseconds=next(LATER)),
        }
        statement = Statement(**(said | changes))
        kept = msgspec.structs.replace(statement, digest=tamper) if tamper else statement
        async with self.service.store.tx(PLATFORM) as tx:
            await tx.execute(
                "INSERT INTO conformance_run (id, contract, url, state, asked_by, asked_at,"
                " lease_until, finished_at) VALUES ($1,$2,$3,'passed',$1,$4,$4,$4)",
                statement.run,
                statement.contract,
                statement.url,
                now,
            )
            await attestation_store.add_attestation(tx, kept, self.notary.sign(statement))
        return statement


@contextmanager
def lab(world, answer=None):
    """For a while the registry believes another notary, and asks another network."""
    service = world.process.built["registry"].service
    before, says = service.editions, Says(*([answer] if answer is not None else []))
    here = Lab(world, service, says)
    notary = Notary(fresh_key(), timedelta(days=30), here.current)
    service.editions = replace(before, notary=notary, ask=says)
    try:
        yield here
    finally:
        service.editions = before
