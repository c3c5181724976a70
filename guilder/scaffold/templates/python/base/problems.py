"""Refusals as the platform understands them (RFC 9457): a stable code, a sentence that helps."""

from collections.abc import Callable
from typing import Any


class Problem(Exception):
    """A refusal, of one item or of the whole request."""

    def __init__(self, code: str, status: int, title: str, detail: str, fix: str) -> None:
        """`code` never changes its meaning; `detail` quotes nothing that was sent."""
        super().__init__(detail)
        self.code, self.status, self.title, self.detail, self.fix = code, status, title, detail, fix

    def document(self) -> dict[str, Any]:
        """The members of application/problem+json."""
        return {"type": f"/problems/{self.code}", **vars(self)}


def invalid(detail: str, status: int = 400) -> Problem:
    """The request, or an item, is not as the contract says."""
    fix = "Correct the value that `detail` names and send the request again."
    return Problem("invalid-request", status, "The request is not valid", detail, fix)


def unauthenticated(detail: str) -> Problem:
    """The platform did not sign this."""
    fix = "Sign the request with a key of the platform that this edition knows."
    return Problem("unauthenticated", 401, "The request is not signed as it must be", detail, fix)


def not_found(detail: str, status: int = 404) -> Problem:
    """Nothing is offered there."""
    return Problem("not-found", status, "Not found", detail, "Read the manifest and the guide.")


def unavailable(detail: str) -> Problem:
    """Somebody else does not answer; trying again may help."""
    fix = "Repeat the request later; it is safe."
    return Problem("unavailable", 503, "Not available at the moment", detail, fix)


def internal() -> Problem:
    """A defect of ours, of which nothing is told."""
    fix = "Repeat the request; if it stays, report its Guilder-Request."
    return Problem("internal", 500, "An error on our side", "An error on our side", fix)


def attempt(work: Callable[[], Any]) -> dict[str, Any]:
    """One item's result: what `work` returns, or the problem it raises."""
    try:
        return {"answer": work()}
    except Problem as problem:
        return {"problem": problem.document()}
