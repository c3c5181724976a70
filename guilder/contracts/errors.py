"""The one error tree: every refusal is a Problem (RFC 9457) with a stable code.

    Problem
    ├── InvalidRequest 400 · KeyMissing 400 · Unauthenticated 401 · Forbidden 403 · NotFound 404
    ├── Refused 422 (what a contract's own refusals derive from) · Conflict 409 · KeyReused 422
    ├── InFlight 409 · TooManyRequests 429            (try again: never stored as an outcome)
    └── Unavailable 503 · DeadlineExceeded 504 · Internal 500        (outages: never replayed)

A contract adds its own under Refused, Conflict or NotFound beside its operations.
"""

from typing import Any, ClassVar

CATALOGUE: dict[str, type["Problem"]] = {}
"""Every problem by its code; the error reference is made from it."""


class Problem(Exception):
    """A refusal or an outage, ready to be shown: what was wrong and what to do next."""

    code: ClassVar[str] = "problem"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    fix: ClassVar[str] = "Try again later."
    final: ClassVar[bool] = False
    """Whether the same key gets this very answer again."""

    def __init__(
        self,
        detail: str = "",
        *,
        at: str | None = None,
        retry_after: int | None = None,
        **more: Any,
    ) -> None:
        """`at` is a JSONPath to the offending value; `more` are extension members."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.at = at
        self.retry_after = retry_after
        self.more = more

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Enter the catalogue; two problems never share a code."""
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            other = CATALOGUE.setdefault(cls.code, cls)
            if other.__qualname__ != cls.__qualname__ or other.__module__ != cls.__module__:
                raise TypeError(f"two problems share the code {cls.code!r}")

    def document(self) -> dict[str, Any]:
        """The members of application/problem+json."""
        members: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "fix": self.fix,
        }
        if self.at is not None:
            members["at"] = self.at
        if self.retry_after is not None:
            members["retry_after"] = self.retry_after
        return members | self.more

    @staticmethod
    def restore(members: dict[str, Any]) -> "Problem":
        """Rebuild the problem that another process answered with."""
        kind = CATALOGUE.get(str(members.get("code")), Internal)
        known = {"type", "title", "status", "code", "detail", "fix", "at", "retry_after"}
        more = {name: value for name, value in members.items() if name not in known}
        return kind(
            str(members.get("detail", "")),
            at=members.get("at"),
            retry_after=members.get("retry_after"),
            **more,
        )


class InvalidRequest(Problem):
    """The request does not have the shape or the values that the contract declares."""

    code = "invalid-request"
    status = 400
    title = "The request is not valid"
    fix = "Correct the value named by `at` and send the request again."
    final = True


class AddressRefused(InvalidRequest):
    """An address that somebody outside chose, where the platform sends nothing."""

    code = "address-refused"
    title = "The platform sends nothing to this address"
    fix = (
        "Name an https:// address on the public internet. Addresses on loopback, private and"
        " link-local networks need the operator's setting GUILDER_OUTBOUND_ALLOW."
    )


class KeyMissing(Problem):
    """A command that moves money came without an Idempotency-Key."""

    code = "idempotency-key-missing"
    status = 400
    title = "This command needs an Idempotency-Key"
    fix = "Send a header `Idempotency-Key` with a new UUID, and the same one when you repeat it."


class Unauthenticated(Problem):
    """No token, or one that does not hold."""

    code = "unauthenticated"
    status = 401
    title = "You are not signed in"
    fix = "Get a token at /oauth/token and send it as `Authorization: Bearer TOKEN`."


class Forbidden(Problem):
    """The principal may not do this."""

    code = "forbidden"
    status = 403
    title = "You may not do this"
    fix = "Ask somebody who may, or ask an administrator of your bank for the right."
    final = True


class NotFound(Problem):
    """There is no such thing, or not for you: both look the same from outside."""

    code = "not-found"
    status = 404
    title = "Not found"
    fix = "Check the id. Things that you may not see are reported as not found."
    final = True


class Refused(Problem):
    """A well-formed request that the rules of the business refuse."""

    code = "refused"
    status = 422
    title = "Refused"
    fix = "Read `detail`; the request itself must change."
    final = True


class KeyReused(Refused):
    """The Idempotency-Key was used for another request."""

    code = "idempotency-key-reused"
    title = "This Idempotency-Key was used for another request"
    fix = "Use a new key for a new request; `resource` names what the key made first."
    final = False


class Conflict(Problem):
    """The thing is not in a state in which this is possible."""

    code = "conflict"
    status = 409
    title = "Not possible in the present state"
    fix = "Read the thing again and decide on its present state."
    final = True


class InFlight(Problem):
    """The first request with this key is still being worked on."""

    code = "in-flight"
    status = 409
    title = "The first request with this key is still in flight"
    fix = "Repeat the same request after `Retry-After` seconds; it is safe."


class TooManyRequests(Problem):
    """A rate limit was reached."""

    code = "too-many-requests"
    status = 429
    title = "Too many requests"
    fix = "Wait `Retry-After` seconds; commands may be repeated with the same key."


class Internal(Problem):
    """A defect on our side; nothing of it is told beyond the request id."""

    code = "internal"
    status = 500
    title = "An error on our side"
    fix = "Repeat the request with the same key; if it stays, report the request id."


class Unavailable(Problem):
    """A part that is needed does not answer."""

    code = "unavailable"
    status = 503
    title = "Not available at the moment"
    fix = "Repeat the request with the same key after `Retry-After` seconds; it is safe."


class DeadlineExceeded(Problem):
    """The answer did not come in time; the command may still take effect."""

    code = "deadline-exceeded"
    status = 504
    title = "No answer in time"
    fix = "Repeat the request with the same key: you get its outcome, never a second effect."
