"""What the gateway says of itself: the OpenAPI document, the readable page, the problems."""

from importlib import resources

from jinja2 import Environment, select_autoescape
from starlette.responses import Response

import guilder
from guilder.chassis.contract import encode
from guilder.chassis.openapi import openapi
from guilder.contracts.declare import Contract
from guilder.contracts.errors import CATALOGUE
from guilder.gateway.answers import PROBLEMS

HEADERS = {
    "Cache-Control": "max-age=60",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


class Pages:
    """Rendered once, served from memory."""

    def __init__(self, contracts: list[type[Contract]]) -> None:
        """Render everything from the contracts."""
        document = openapi(contracts, "Guilder", guilder.__version__)
        text = (resources.files("guilder.gateway") / "docs.html").read_text("utf-8")
        template = Environment(autoescape=select_autoescape(default=True)).from_string(text)
        problems = catalogue()
        html = template.render(document=document, problems=problems)
        self._pages = {
            "/openapi.json": (encode(document), "application/json"),
            "/docs": (html.encode(), "text/html"),
            "/": (html.encode(), "text/html"),
            "/healthz": (b'{"status":"ok"}', "application/json"),
        }
        for problem in problems:
            self._pages[f"/problems/{problem['code']}"] = (encode(problem), "application/json")

    def find(self, path: str) -> Response | None:
        """The page at a path, if there is one."""
        found = self._pages.get(path)
        if found is None:
            return None
        return Response(found[0], media_type=found[1], headers=dict(HEADERS))


def catalogue() -> list[dict[str, str]]:
    """Every problem with its code, status, title, meaning and what to do, by code."""
    own = [
        {
            "code": kind.code,
            "status": str(kind.status),
            "title": kind.title,
            "fix": kind.fix,
            "meaning": (kind.__doc__ or "").split("\n")[0],
        }
        for kind in CATALOGUE.values()
    ]
    known = {problem["code"] for problem in own}
    transport = [
        {"code": code, "status": str(status), "title": title, "fix": fix, "meaning": title}
        for code, (status, title, fix) in PROBLEMS.items()
        if code not in known
    ]
    return sorted(own + transport, key=lambda problem: problem["code"])
