"""Runs in Weights & Biases: the only module that knows its package."""

from __future__ import annotations

import logging
import netrc
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb

from signseq.training.tracking.example_translations import ExampleTranslation
from signseq.training.tracking.trackers import Keep, RunFacts

__all__ = ["WandbTracker"]

logger = logging.getLogger(__name__)

HOST = "https://api.wandb.ai"
INIT_SECONDS = 30.0  # then the run is kept offline
DATA_DIR = "WANDB_DATA_DIR"
TOKENS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


class WandbTracker:
    """A run in Weights & Biases; without a login, one that is kept in the run's folder."""

    def start(self, facts: RunFacts, *, run_id: str | None, step: int, keep: Keep) -> None:
        """See `Tracker.start`."""
        # made here: wandb would draw it from Python's own generator, which the run's seed belongs to
        name = run_id or uuid.uuid4().hex[:8]
        keep(name)
        if "WANDB_MODE" not in os.environ and not _is_logged_in():
            logger.info("wandb: not logged in, so the run is kept offline.")
            self._run = _begin(facts, name, mode="offline")
        else:
            try:
                self._run = _begin(facts, name, mode=None)
            except wandb.errors.Error as fault:
                logger.warning("wandb: %s The run is kept offline.", fault)
                name = uuid.uuid4().hex[:8]  # the other one is taken by the attempt
                keep(name)
                self._run = _begin(facts, name, mode="offline")
        if self._run.offline:
            folder = Path(str(self._run.dir)).parent
            logger.info("wandb: to send the run, log in and call: wandb sync %s", folder)
        elif self._run.url:
            logger.info("wandb: %s", self._run.url)
        # an axis of our own: wandb drops what comes again after an interruption
        self._run.define_metric("*", step_metric="step")
        if run_id is None:
            rows = [list(row) for row in facts.parameters]
            table = wandb.Table(columns=["part", "parameters", "trainable"], data=rows)
            text = wandb.Html(f"<pre>{escape(facts.architecture)}</pre>", inject=False)
            self._log_files({"step": step, "model/parameters": table, "model/architecture": text})

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """See `Tracker.log`."""
        self._run.log({"step": step, **values})

    def show_examples(self, examples: Sequence[ExampleTranslation], *, step: int) -> None:
        """See `Tracker.show_examples`."""
        table = wandb.Table(
            columns=["uid", "reference", "hypothesis", "chrF", "pose"],
            data=[
                [
                    example.uid,
                    example.reference,
                    example.hypothesis,
                    example.chrf,
                    wandb.Html(example.picture, inject=False),
                ]
                for example in examples
            ],
        )
        self._log_files({"step": step, "eval/examples": table})

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._run.finish(exit_code=1 if failed else 0)

    def _log_files(self, values: Mapping[str, Any]) -> None:
        """Log tables and pages, which wandb keeps as files until they are sent."""
        if self._run.offline:
            with _staged_in(Path(str(self._run.dir)).parents[1]):
                self._run.log(dict(values))
        else:
            self._run.log(dict(values))


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """Where wandb keeps what is to be sent; its own default lies in the home folder, far from the run."""
    if DATA_DIR in os.environ:
        yield
        return
    os.environ[DATA_DIR] = str(folder)
    try:
        yield
    finally:
        del os.environ[DATA_DIR]


def _begin(facts: RunFacts, run_id: str, *, mode: Any) -> Any:
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT") or facts.project,
        name=facts.name,
        id=run_id,
        resume="allow",
        dir=str(facts.folder),
        config=dict(facts.config),
        mode=mode,
        settings=wandb.Settings(console="off", silent=True, init_timeout=INIT_SECONDS),
    )


def _is_logged_in() -> bool:
    """Whether wandb can go online without asking for a key."""
    if any(name in os.environ for name in TOKENS):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", HOST)).hostname
    for path in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            known = netrc.netrc(os.path.expanduser(path)).hosts if path else {}
        except (OSError, netrc.NetrcParseError):
            continue
        if host in known:
            return True
    return False
