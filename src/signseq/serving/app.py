"""create_app: the ASGI application of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

import signseq
from signseq.errors import SignSeqError
from signseq.serving.faults import ServiceError
from signseq.serving.memory import giving_back
from signseq.serving.metrics import Metrics
from signseq.serving.middleware import Envelope
from signseq.serving.models import ServedModel
from signseq.serving.pages import WEB, WebFiles
from signseq.serving.routes import METHODS_OF, router
from signseq.serving.service import Service
from signseq.serving.settings import ServeSettings
from signseq.translation import Translator

__all__ = ["create_app"]

ABOUT = (
    "Signed language to text: send a clip to `POST /v1/translate`, or landmark frames as they come to the "
    'WebSocket `/v1/stream`. Every error is `{"error": {"code", "message"}}`.'
)
CODES = {404: "not_found", 405: "method_not_allowed", 426: "upgrade_required"}
GONE = 499  # nobody reads it; nginx's number for a client that left


def create_app(
    settings: ServeSettings,
    models: Mapping[str, Translator],
    *,
    demos: frozenset[str] = frozenset(),
    web: Path = WEB,
) -> FastAPI:
    """Build the application; `app.state.service` is its state.

    Args:
        settings: Its limits.
        models: By name; the first is the default.
        demos: Names of those that are demonstrations only.
        web: The folder of the page.
    """
    counters = Metrics()
    served = {
        name: ServedModel(
            name, translator, settings=settings, metrics=counters, is_demo=name in demos
        )
        for name, translator in models.items()
    }
    service = Service(settings, counters, served)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            async with giving_back():
                yield
        finally:
            service.stopping.set()
            await service.close()

    app = FastAPI(
        title="signseq",
        description=ABOUT,
        version=signseq.__version__,
        docs_url=None,  # both would load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
        lifespan=live,
        exception_handlers={
            SignSeqError: _answer_fault,
            HTTPException: _answer_http,
            RequestValidationError: _answer_invalid,
            ClientDisconnect: _answer_nobody,
        },
    )
    app.state.service = service
    app.include_router(router)
    # Not a mount: that would match the paths above, too, with methods that they don't take.
    app.router.default = WebFiles(web)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    app.add_middleware(Envelope, metrics=counters)
    return app


async def _answer_fault(_: Request, fault: Exception) -> Response:
    if not isinstance(fault, ServiceError):
        fault = ServiceError(422, "unusable", str(fault))
    return JSONResponse(fault.body, fault.status, fault.headers)


async def _answer_http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)  # what starlette itself raises
    messages = {
        404: "There is nothing at this path; /openapi.json lists what is.",
        405: f"This path takes no {request.method}; the header Allow lists what it takes.",
    }
    message = messages.get(fault.status_code, str(fault.detail))
    body = ServiceError(fault.status_code, CODES.get(fault.status_code, "refused"), message).body
    headers = fault.headers
    if fault.status_code == 405 and request.url.path in METHODS_OF:
        headers = {"Allow": ", ".join(METHODS_OF[request.url.path])}
    return JSONResponse(body, fault.status_code, headers)


async def _answer_invalid(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    found = [f"`{error['loc'][-1]}`: {error['msg']}" for error in fault.errors()]
    return JSONResponse(
        ServiceError(422, "invalid_request", f"{'; '.join(found)}. See /openapi.json.").body, 422
    )


async def _answer_nobody(_: Request, fault: Exception) -> Response:
    return Response(status_code=GONE)
