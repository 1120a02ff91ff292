"""The HTTP routes of the API."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response, WebSocket
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import signseq
from signseq.poses.sequence import PoseSequence
from signseq.serving.bodies import IN_MEMORY, Spool, read_body
from signseq.serving.faults import not_ready
from signseq.serving.metrics import CONTENT_TYPE_LATEST
from signseq.serving.models import Answer, ServedModel
from signseq.serving.schemas import (
    ERRORS,
    TRANSLATE_BODY,
    Hypothesis,
    Limits,
    ModelCard,
    ModelList,
    State,
    Timing,
    TranslationAnswer,
)
from signseq.serving.service import Service
from signseq.serving.stream import stream_session
from signseq.serving.uploads import Kind, UploadLimits, kind_of, read_upload
from signseq.serving.videos import can_read_videos

__all__ = ["METHODS_OF", "router"]

T = TypeVar("T")
router = APIRouter()
KEYED: dict[int | str, dict[str, Any]] = {401: ERRORS[401], 429: ERRORS[429]}


def _service(connection: Request | WebSocket) -> Service:
    service: Service = connection.app.state.service
    return service


def _bearer(request: Request) -> str | None:
    """The key of `Authorization: Bearer KEY`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


@router.post(
    "/v1/translate",
    response_model=TranslationAnswer,
    responses=ERRORS,
    openapi_extra=TRANSLATE_BODY,
    summary="Translate a clip",
)
async def translate(
    request: Request,
    model: Annotated[str | None, Query(max_length=100, description="Default: the first.")] = None,
    language: Annotated[
        str | None, Query(max_length=40, description="What to write, e.g. `en`.")
    ] = None,
    n_best: Annotated[int, Query(ge=1, le=100, description="Sentences to return.")] = 1,
    num_beams: Annotated[
        int | None, Query(ge=1, le=100, description="Default: the checkpoint's.")
    ] = None,
) -> TranslationAnswer:
    """Translate a .pose file, a video or landmarks to text.

    The body is the file itself, or a form with one field `file`.
    """
    service = _service(request)
    client = service.admit(request, _bearer(request))
    chosen = service.find_model(model)
    options = {"n_best": n_best, "num_beams": num_beams, "language": language}
    chosen.options(n_best=n_best, num_beams=num_beams, language=language)  # before the upload
    if not service.has_place(client):
        raise not_ready(
            "The server has as many requests at hand as it takes, of all clients or of one. Try again soon.",
            code="too_busy",
            retry_after=chosen.queue.retry_after(),
        )
    service.uploads[client] += 1
    spool = Spool(service.room)
    try:
        begun = time.monotonic()
        limits = service.settings
        await read_body(
            request, spool, max_bytes=limits.max_upload_bytes, seconds=limits.body_timeout
        )
        service.metrics.stage("body", time.monotonic() - begun)
        kind = kind_of(spool.start)
        work = _translate(service, chosen, spool, kind=kind, client=client, options=options)
        more = limits.video_timeout if kind == "video" else 0.0
        return await _unless_gone(request, work, seconds=limits.request_timeout + more)
    finally:
        service.uploads -= Counter([client])  # forgets those at 0
        spool.close()


async def _translate(
    service: Service,
    model: ServedModel,
    spool: Spool,
    *,
    kind: Kind | None,
    client: str,
    options: dict[str, Any],
) -> TranslationAnswer:
    begun, is_gone = time.monotonic(), threading.Event()
    limits = UploadLimits(
        max_seconds=service.settings.max_seconds,
        max_bytes=service.settings.max_upload_bytes,
        seconds_for_video=service.settings.video_timeout,
    )
    is_small = kind != "json" or spool.size <= IN_MEMORY
    # A video takes too long to be worth waiting for.
    announced = nullcontext() if kind == "video" else model.queue.announce()
    try:
        async with nullcontext() if is_small else service.large_bodies:
            with announced:
                pose: PoseSequence = await service.in_thread(
                    read_upload, spool.content(), limits, is_gone=is_gone
                )
                clip = await service.prepare(model, pose)
    finally:
        is_gone.set()
    reading = time.monotonic() - begun
    service.metrics.stage("pose", reading)
    answer = await model.submit(clip, client=client, **options)
    return _as_answer(model, answer, reading=reading, language=options["language"])


def _as_answer(
    model: ServedModel, answer: Answer, *, reading: float, language: str | None
) -> TranslationAnswer:
    found = answer.translation
    pairs = found.alternatives or ((found.text, found.score),)
    return TranslationAnswer(
        model=model.name,
        text=found.text,
        score=found.score,
        seconds=round(found.seconds, 3),
        language=model.language_code(language) or model.default_language,
        n_best=[Hypothesis(text=text, score=score) for text, score in pairs],
        warnings=list(found.warnings),
        timing=Timing(
            pose_ms=_milliseconds(reading),
            queue_ms=_milliseconds(answer.queue_seconds),
            model_ms=_milliseconds(answer.model_seconds),
        ),
    )


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T], *, seconds: float) -> T:
    """What `work` gives, unless the client leaves first, or it takes too long; then it is cancelled.

    Raises:
        ClientDisconnect: If the client has left.
        ServiceError: 503 if it takes too long.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise ClientDisconnect
        raise not_ready(
            f"No translation within {seconds:g} s; the server is busy. Try again later.",
            code="timed_out",
            retry_after=10,
        )
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.head("/v1/model", include_in_schema=False)
@router.get("/v1/model", responses=KEYED, summary="The models and limits")
async def model(request: Request) -> ModelList:
    """What the server can translate with, and what it takes; costs no part of the rate."""
    service = _service(request)
    service.check_key(request, _bearer(request))
    return ModelList(
        default=service.default,
        models=[ModelCard(**served.card) for served in service.models.values()],
        limits=Limits(
            upload_mb=service.settings.max_upload_mb,
            seconds=service.settings.max_seconds,
            video=can_read_videos(),
        ),
        needs_key=bool(service.keys),
        version=signseq.__version__,
    )


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether the server lives")
async def healthz() -> State:
    """Always 200; restart the server if it isn't."""
    return State(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: ERRORS[503]}, summary="Whether the server takes requests")
async def readyz(request: Request) -> State:
    """200 when all models answer; send it no requests otherwise."""
    service = _service(request)
    if not service.is_ready:
        reason = "is shutting down" if service.is_stopping else "has a model that doesn't answer"
        raise not_ready(f"The server {reason}. Send requests elsewhere.")
    return State(status="ok")


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    responses={**KEYED, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
    summary="Figures for Prometheus",
)
async def metrics(request: Request) -> Response:
    """Requests, latencies by stage, queue lengths, batch sizes, frames."""
    service = _service(request)
    service.check_key(request, _bearer(request))
    return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/v1/stream", include_in_schema=False)
async def stream_without_upgrade() -> None:
    """Say what this path is."""
    message = "This path is a WebSocket: connect to it with ws:// or wss://."
    raise HTTPException(426, message, {"Upgrade": "websocket", "Connection": "Upgrade"})


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Landmark frames as they come; partial and final text back."""
    await stream_session(socket, _service(socket))


def _find_methods() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for route in router.routes:
        if isinstance(route, APIRoute):
            found.setdefault(route.path, []).extend(route.methods or ())
    return {path: sorted(methods) for path, methods in found.items()}


METHODS_OF = _find_methods()  # the framework names only one route's, where a path has several
