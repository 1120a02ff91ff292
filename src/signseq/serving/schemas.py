"""What the API takes and gives, as types with examples; `/openapi.json` is made of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

__all__ = [
    "ERRORS",
    "TRANSLATE_BODY",
    "Failure",
    "Hypothesis",
    "ModelCard",
    "ModelList",
    "Timing",
    "TranslationAnswer",
]

EXAMPLE_KEYPOINTS = ["POSE_LANDMARKS.LEFT_SHOULDER", "POSE_LANDMARKS.RIGHT_SHOULDER"]


class Hypothesis(BaseModel):
    """One of the sentences that a clip may mean."""

    text: str = Field(examples=["we eat bread"])
    score: float = Field(description="Log probability per token; 0 is certain.", examples=[-0.12])


class Timing(BaseModel):
    """Where the time went, in milliseconds."""

    pose_ms: float = Field(description="Reading the body, and making the pose ready.")
    queue_ms: float = Field(description="Waiting for the model.")
    model_ms: float = Field(description="In the model, together with others' clips.")


class TranslationAnswer(BaseModel):
    """What a clip was translated to."""

    model: str = Field(examples=["demo"])
    text: str = Field(examples=["we eat bread"])
    score: float = Field(description="Log probability per token; 0 is certain.", examples=[-0.12])
    seconds: float = Field(description="How long the clip lasts.", examples=[2.4])
    language: str | None = Field(description="The code of what was written, where models have one.")
    n_best: list[Hypothesis] = Field(description="The best first, `text` included.")
    warnings: list[str] = Field(description="What may have spoilt the translation.")
    timing: Timing


class ModelCard(BaseModel):
    """A model, and what a client needs to know to use it."""

    name: str = Field(examples=["demo"])
    description: str = Field(examples=["bart, 1.1 million parameters"])
    is_demo: bool = Field(description="Trained on an embedded corpus: translates no real language.")
    keypoints: list[str] = Field(
        description="What it looks at, in any order; what lacks counts as not seen.",
        examples=[EXAMPLE_KEYPOINTS],
    )
    edges: list[list[int]] = Field(description="The skeleton: pairs of positions in `keypoints`.")
    fps: float | None = Field(description="The rate that clips are brought to; null keeps theirs.")
    step_frames: int = Field(description="Every so-manieth frame is read.")
    max_seconds: float
    estimators: list[str] = Field(description="Whose poses it was trained on.")
    languages: list[str] = Field(description="What it can write; empty: the one it learned.")
    language: str | None = Field(description="What it writes where a request names none.")
    max_n_best: int


class Limits(BaseModel):
    """What the server takes."""

    upload_mb: float
    seconds: float
    video: bool = Field(description="Whether it finds poses in videos.")


class ModelList(BaseModel):
    """The models of a server."""

    default: str = Field(examples=["demo"])
    models: list[ModelCard]
    limits: Limits
    needs_key: bool
    version: str = Field(examples=["0.1.0"])


class State(BaseModel):
    """Whether the server lives, or is ready."""

    status: str = Field(examples=["ok"])


class Fault(BaseModel):
    """Why there is no answer."""

    code: str = Field(description="For programs.", examples=["clip_too_long"])
    message: str = Field(
        description="For people.",
        examples=["The clip lasts 80.0 s; this server takes 60 s. Cut it."],
    )


class Failure(BaseModel):
    """What every error looks like."""

    error: Fault


def _error(description: str, *, waits: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"model": Failure, "description": description}
    if waits:
        what = "Seconds after which another try makes sense."
        found["headers"] = {"Retry-After": {"description": what, "schema": {"type": "integer"}}}
    return found


ERRORS: dict[int | str, dict[str, Any]] = {
    400: _error("The body is malformed."),
    401: _error("The API key is missing or wrong."),
    404: _error("There is no such model, or no such path."),
    405: _error("The path has no such method."),
    408: _error("The body came too slowly."),
    413: _error("The body is too large, or the clip too long."),
    415: _error("The body is of no kind that is known."),
    422: _error("Readable, but unusable: no shoulders, unknown language, wrong value."),
    429: _error("Too many requests of this client.", waits=True),
    500: _error("The server failed; its log says why."),
    503: _error("The queue is full, or the server is starting or stopping.", waits=True),
    504: _error("Finding the poses in the video took too long."),
}
_FRAME = [[320.0, 240.0, 0.0, 0.99], [180.0, 240.0, 0.0, 0.98]]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_LANDMARKS = {
    "type": "object",
    "required": ["keypoints", "frames"],
    "properties": {
        "fps": {"type": "number", "exclusiveMinimum": 0},
        "times": {"type": "array", "items": {"type": "number"}, "description": "Instead of fps."},
        "keypoints": {"type": "array", "items": {"type": "string"}},
        "frames": {
            "type": "array",
            "description": "T frames of K points of x, y, z, confidence.",
            "items": {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                },
            },
        },
        "estimator": {"type": "string"},
    },
}
TRANSLATE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A .pose file, a video or landmarks. Its content says what it is, not its type or name.",
        "content": {
            "application/x-pose": _BINARY,
            "application/octet-stream": _BINARY,
            "video/*": _BINARY,
            "application/vnd.signseq.landmarks": _BINARY,
            "application/json": {
                "schema": _LANDMARKS,
                "example": {
                    "fps": 25,
                    "keypoints": EXAMPLE_KEYPOINTS,
                    "frames": [_FRAME] * 3,
                    "estimator": "mediapipe",
                },
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
