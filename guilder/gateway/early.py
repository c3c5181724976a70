"""What is sure to be refused is refused by its headers alone, at a fraction of a request's cost.

At five times the capacity four of five requests are refused: if that costs what a request costs,
nothing is left for those that are admitted. This step only foresees what the gateway would answer:
it takes no token and no place, and whatever it is not sure of passes on.
"""

import json
from collections import Counter
from functools import cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from guilder.contracts.errors import CATALOGUE, Problem, TooManyRequests
from guilder.gateway.admission import Admission, Overloaded, spread
from guilder.gateway.authenticate import Authenticator
from guilder.gateway.limits import Incoming
from guilder.gateway.maintenance import HEADER, Maintenance
from guilder.gateway.rates import Rates
from guilder.gateway.routes import Routes


class Early:
    """Refusals from memory."""

    def __init__(
        self,
        authenticator: Authenticator,
        routes: Routes,
        tenants: Rates,
        principals: Rates,
        admission: Admission,
        maintenance: Maintenance,
        counted: Counter[str],
    ) -> None:
        """Looks at the same state as the gateway; refusals are added to `counted` by code."""
        self._maintenance = maintenance
        self._authenticator, self._routes = authenticator, routes
        self._tenants, self._principals = tenants, principals
        self._admission, self._counted = admission, counted

    def refusal(self, request: Incoming) -> bytes | None:
        """The whole answer, which leaves the connection open; None when the request passes."""
        authorization = b""
        for name, value in request.headers:
            if name == b"authorization":
                authorization = value
            elif name == b"connection":
                return None  # whatever it asks for, the long way knows
        who = self._authenticator.known(authorization.decode("latin-1"))
        if who is None:
            return None
        method, target, _ = request.head.split(b" ", 2)
        try:
            path = target.partition(b"?")[0].decode("ascii")
            operation, _ = self._routes.find(method.decode("ascii"), path)
        except Problem:
            return None
        if not (
            self._tenants.has(who.tenant) and self._principals.has((who.tenant, who.principal.id))
        ):
            return self._refuse(TooManyRequests, who.tenant)
        limiter = self._admission.limiter(operation.contract)
        if limiter.room(who.tenant, read=not operation.command):
            return None
        limiter.refuse()
        return self._refuse(Overloaded, who.tenant)

    def _refuse(self, kind: type[Problem], tenant: int) -> bytes:
        self._counted[kind.code] += 1
        announced = self._maintenance.header(tenant)
        line = f"{HEADER.lower()}: {announced}\r\n".encode("latin-1") if announced else b""
        return STATUS_LINE[kind.status] + line + _canned(kind.code, spread())


@cache  # bounded: two codes, a few numbers of seconds
def _canned(code: str, seconds: int) -> bytes:
    """What follows the status line."""
    kind = CATALOGUE[code]
    body = json.dumps(kind(retry_after=seconds).document()).encode()
    return (
        b"retry-after: %d\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n"
        b"x-content-type-options: nosniff\r\ncontent-length: %d\r\n\r\n%b"
    ) % (seconds, len(body), body)
