"""Several workers of a sweep: the same command in several processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

from signseq.config import Config
from signseq.errors import ModelError, StoppedError
from signseq.progress import Progress
from signseq.sweeping.stopping import PARENT, Told
from signseq.sweeping.study import Study

__all__ = ["run_workers"]

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between looks at how far they are
MOST_STARTS = 3  # of a worker that is killed: by a lack of memory, perhaps


def run_workers(config: Config, study: Study, *, workers: int, trials: int) -> bool:
    """Run trials in processes of their own until all have ended; each writes `worker-N.log`.

    Args:
        config: The sweep's.
        study: To see how far they are.
        workers: How many processes.
        trials: How many trials there will be.

    Returns:
        False if this process is to do it itself: one worker, and at most one GPU.

    Raises:
        ModelError: If a worker failed.
        StoppedError: If a worker was told to stop, and so left trials that no other took up.
    """
    gpus = _visible_gpus()
    if workers == 1 and len(gpus) < 2:
        return False
    folder = config.training.checkpoint_dir
    own = folder / "sweep.yaml"
    settings = config.model_dump(mode="json")
    own.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    progress = Progress(total=trials, label="Sweep", unit="trial", done=_ended(study))
    running: dict[int, subprocess.Popen[bytes]] = {}
    starts = dict.fromkeys(range(1, workers + 1), 1)
    failed, stopped = [], False
    try:
        for number in starts:
            running[number] = _start(number, own, gpus)
        while running:
            time.sleep(LOOK_SECONDS)
            progress.advance(_ended(study) - progress.done)
            for number, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[number]
                if code < 0 and starts[number] < MOST_STARTS:
                    logger.warning(
                        "Worker %d was killed by %s; it is started again.", number, _signal(code)
                    )
                    starts[number] += 1
                    running[number] = _start(number, own, gpus)
                elif code == StoppedError.exit_code:
                    stopped = True
                elif code != 0:
                    failed.append(number)
    except BaseException as fault:
        told = signal.SIGTERM if isinstance(fault, Told) else signal.SIGINT
        for process in running.values():
            process.send_signal(told)
        for process in running.values():  # each trial saves a checkpoint
            process.wait()
        raise
    finally:
        progress.close()
    if failed:
        log = _log(folder, failed[0])
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise ModelError(
            f"sweep: worker {failed[0]} failed ({' '.join(last) or 'it said nothing'}); {log} has all it said. "
            "The same command goes on."
        )
    if stopped and _ended(study) < trials:
        raise StoppedError("sweep: a worker was told to stop.")
    return True


def _start(number: int, config: Path, gpus: list[str]) -> subprocess.Popen[bytes]:
    own = {PARENT: str(os.getpid())}
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = gpus[(number - 1) % len(gpus)]
    with _log(config.parent, number).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "signseq", "sweep", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | own,
        )


def _log(folder: Path, number: int) -> Path:
    return folder / f"worker-{number}.log"


def _visible_gpus() -> list[str]:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]


def _ended(study: Study) -> int:
    return sum(record.state != "running" for record in study.records())


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
