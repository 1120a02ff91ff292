"""What `/metrics` says, in Prometheus's text format; the only module that knows its client."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics", "ModelMetrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CLIPS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server; each has a registry of its own, so that tests don't share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "signseq_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "signseq_request_seconds",
            "From a request's first byte to its answer's last.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "signseq_stage_seconds",
            "Seconds of a clip in each stage: body (arriving), pose (reading), queue, model.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "signseq_requests_in_flight", "Requests not answered yet.", registry=self.registry
        )
        self._streams = Gauge("signseq_streams", "WebSockets open.", registry=self.registry)
        self.open_streams = 0
        self._frames = Counter(
            "signseq_frames", "Frames of poses received.", ["model"], registry=self.registry
        )
        self._batch_clips = Histogram(
            "signseq_batch_clips",
            "Clips translated together.",
            ["model"],
            buckets=CLIPS,
            registry=self.registry,
        )
        self._queue_clips = Gauge(
            "signseq_queue_clips", "Clips that wait.", ["model"], registry=self.registry
        )

    def request_begun(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def request_done(self, route: str, method: str, *, status: int, seconds: float) -> None:
        """A request is answered."""
        self._in_flight.dec()
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """A clip has left a stage: `body`, `pose`, `queue` or `model`."""
        self._stage_seconds.labels(name).observe(seconds)

    def count_frames(self, model: str, frames: int) -> None:
        """Frames have come for a model."""
        self._frames.labels(model).inc(frames)

    def stream_opened(self) -> None:
        """A WebSocket is open."""
        self.open_streams += 1
        self._streams.inc()

    def stream_closed(self) -> None:
        """A WebSocket is closed."""
        self.open_streams -= 1
        self._streams.dec()

    def of_model(self, model: str, queue_length: Callable[[], int]) -> ModelMetrics:
        """What a model's queue tells; its length is asked for when somebody reads the metrics."""
        self._queue_clips.labels(model).set_function(queue_length)
        return ModelMetrics(self, model)

    def batch(self, model: str, clips: int) -> None:
        """A batch was translated."""
        self._batch_clips.labels(model).observe(clips)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class ModelMetrics:
    """Hears what one model's queue does; see `queue.Watcher`."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics, self._model = metrics, model

    def waited(self, seconds: float) -> None:
        """A clip has left the queue for a batch."""
        self._metrics.stage("queue", seconds)

    def ran(self, clips: int, seconds: float) -> None:
        """A batch was translated."""
        self._metrics.batch(self._model, clips)
        self._metrics.stage("model", seconds)
