"""The page and MediaPipe's files: static, with the right types and caching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

__all__ = ["WEB", "WebFiles"]

WEB = Path(__file__).parent / "web"
# Not asked of the system, whose tables differ, and may say text/plain of what a browser must not get so.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
METHODS = ("GET", "HEAD")
OTHER = "application/octet-stream"  # models: .task, .tflite, .binarypb, .data
HASHED = "public, max-age=31536000, immutable"  # their names change with their contents
WEEK = "public, max-age=604800"
ASK = "no-cache"  # ask every time; the answer is 304 if nothing has changed
NOT_BUILT = (
    "signseq is running, but its page was not built. `make page` builds it; the packages on PyPI hold it.\n"
    "The API is there: POST /v1/translate, GET /v1/model; /openapi.json describes it.\n"
)


class WebFiles(StaticFiles):
    """Files of a folder.

    Args:
        folder: What `make page` wrote.
    """

    def __init__(self, folder: Path = WEB) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; there are no WebSockets here."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer GET and HEAD; what is not there is a 404, whatever is to be done with it."""
        if scope["method"] not in METHODS:
            await self.get_response(path, {**scope, "method": "HEAD"})
            raise HTTPException(405, headers={"Allow": ", ".join(METHODS)})
        if path != ".":
            return await super().get_response(path, scope)
        if (self._folder / "index.html").is_file():
            return await super().get_response("index.html", scope)
        return PlainTextResponse(NOT_BUILT, headers={"Cache-Control": ASK})

    async def check_config(self) -> None:
        """No complaint where the page was not built: it is said to who asks for it."""

    def file_response(self, full_path: Any, *args: Any, **kwargs: Any) -> Response:
        """A file with its type, and how long it may be kept."""
        response = super().file_response(full_path, *args, **kwargs)
        place = Path(full_path)
        response.headers["Content-Type"] = TYPES.get(place.suffix.lower(), OTHER)
        response.headers["Cache-Control"] = _caching(place.relative_to(self._folder.resolve()))
        return response


def _caching(place: Path) -> str:
    if place.parts[0] == "assets":
        return HASHED
    return WEEK if place.parts[0] == "mediapipe" else ASK
