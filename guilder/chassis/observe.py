"""What a process says of itself on its private server: health and metrics, without personal data.

`live` tells whether to kill it, `ready` whether to send it calls; `health` tells a person why.
"""

import asyncio
import os
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import guilder
from guilder.chassis.metrics import ProcessMetrics, Source
from guilder.chassis.process import Process

EDITION = "A"
"""What we make is the stock edition of every contract."""


def routes(process: Process, *sources: Source) -> list[Route]:
    """The routes of a process; `sources` have metrics besides its services (the gateway)."""
    registry = CollectorRegistry()
    for source in (ProcessMetrics(process), *sources):
        registry.register(source)

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        reasons = await hindrances(process)
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def whole(_: Request) -> Response:
        return JSONResponse(await health(process))

    async def metrics(_: Request) -> Response:
        await hindrances(process)  # so that what is told of the databases is of now
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/health", whole),
        Route("/metrics", metrics),
    ]


async def hindrances(process: Process) -> list[str]:
    """Why the process should be sent nothing, in words; none when it is ready."""
    stores = process.stores
    answers = await asyncio.gather(*(store.answers() for store in stores.values()))
    reasons = ["draining"] if process.draining else []
    for name, answered in zip(stores, answers, strict=True):
        if not answered:
            reasons.append(f"the database of {name} does not answer")
    return reasons


async def health(process: Process) -> dict[str, Any]:
    """Everything a person or `guilder status` wants to know of a process."""
    reasons = await hindrances(process)
    return {
        "process": process.name,
        "version": guilder.__version__,
        "pid": os.getpid(),
        "started_at": process.started_at.isoformat(),
        "ready": not reasons,
        "reasons": reasons,
        "draining": process.draining,
        "services": {
            name: {
                "edition": EDITION,
                "version": endpoint.contract.release,
                "database": "ok" if process.stores[name].answered else "down",
            }
            for name, endpoint in process.endpoints.items()
        },
        "directory": _directory(process),
        "feeds": [
            {
                "follower": follower.store.service,
                "feed": follower.feed,
                "position": follower.position,
                "behind_s": round(follower.behind(), 3),
                "error": follower.error,
            }
            for built in process.built.values()
            for follower in built.followers
        ],
    }


def _directory(process: Process) -> dict[str, Any]:
    """How fresh what it knows of bindings and windows is."""
    follower = process.directory
    silent = follower.silent_s
    return {
        "generation": follower.latest.generation,
        "stale": follower.stale,
        "heard_s": None if silent is None else round(silent, 3),
    }
