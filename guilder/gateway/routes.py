"""From method and path to the operation of a contract."""

from urllib.parse import unquote

from guilder.contracts.declare import Contract, Operation
from guilder.contracts.errors import NotFound, Problem

PREFIX = "/v1"


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    code = "method-not-allowed"
    status = 405
    title = "This path does not take this method"
    fix = "Use one of the methods in the Allow header."


class Routes:
    """All public operations, found by the shape of the path."""

    def __init__(self, contracts: list[type[Contract]]) -> None:
        """Fixed segments win over parameters; two operations never share a route."""
        self._by_length: dict[int, list[tuple[list[str], Operation]]] = {}
        self._fixed: dict[tuple[str, str], Operation] = {}
        """Those without parameters, found at once: what is refused early is looked up here too."""
        for contract in contracts:
            for operation in contract.operations().values():
                if operation.public:
                    parts = (PREFIX + operation.path).strip("/").split("/")
                    self._by_length.setdefault(len(parts), []).append((parts, operation))
                    if not operation.path_fields:
                        self._fixed[operation.method, PREFIX + operation.path] = operation
        for routes in self._by_length.values():
            routes.sort(key=lambda route: sum(part.startswith("{") for part in route[0]))

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation and its path parameters; NotFound or MethodNotAllowed."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        given = path.removeprefix("/").split("/")
        allowed: list[str] = []
        for parts, operation in self._by_length.get(len(given), ()):
            names = _match(parts, given)
            if names is None:
                continue
            if operation.method == method:
                return operation, names
            allowed.append(operation.method)
        if allowed:
            raise MethodNotAllowed(f"use {' or '.join(sorted(set(allowed)))}", allow=allowed)
        raise NotFound("there is no such path; /openapi.json lists them all")


def _match(parts: list[str], given: list[str]) -> dict[str, str] | None:
    names: dict[str, str] = {}
    for part, value in zip(parts, given, strict=True):
        if part.startswith("{"):
            if not value:
                return None
            names[part[1:-1]] = unquote(value)
        elif part != value:
            return None
    return names
