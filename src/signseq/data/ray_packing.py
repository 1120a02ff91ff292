"""Packing the shards of a store on a Ray cluster: the tasks of `packing.py`, on many machines.

Each task writes its own shard to where the store is, and gives back its report. A task whose process
or machine dies is begun anew elsewhere. So does the run, where its own process dies: what is packed is kept.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from signseq.data.examples import Example
from signseq.data.packing import (
    RESTARTS,
    ShardTask,
    list_tasks,
    put_in_order,
    refuse_memory,
    write_task,
)
from signseq.data.processes import open_result, work_off
from signseq.data.ray_folder import SharedFolder, shared
from signseq.data.shard_reports import ShardReport, shard_name
from signseq.data.shards import shard_digest
from signseq.data.storage import StoreFolder
from signseq.data.waiting import WaitingNotes
from signseq.errors import DataError, MissingExtraError
from signseq.poses.transforms import PoseRecipe
from signseq.progress import track

__all__ = ["RayCluster"]

logger = logging.getLogger(__name__)
CONNECT_SECONDS = 10.0
WAIT_SECONDS = 10.0  # for a shard, before the cluster is looked at again
READ_AHEAD = 2  # shards per core of the cluster, so that no core waits for the next one


class RayCluster:
    """A Ray cluster, connected to when there is something to pack; a context manager.

    Args:
        workers: Shards that are packed at a time; None means one per core of the cluster.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        self.workers = workers
        self._ray = _import_ray()
        self._is_ours = False

    def __enter__(self) -> RayCluster:
        """See at once whether a cluster is where one should be.

        Raises:
            DataError: If nothing answers there.
        """
        address = os.environ.get("RAY_ADDRESS")
        if address and not self._ray.is_initialized():
            try:
                _knock(address)
            except OSError as fault:
                raise _no_answer(address, fault) from fault
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def pack_shards(
        self,
        folder: StoreFolder,
        chunks: Iterable[Sequence[Example]],
        recipe: PoseRecipe,
        *,
        digests: Sequence[str],
        label: str,
    ) -> list[ShardReport]:
        """Write the shards on the cluster; a few per core are read ahead, so memory stays flat.

        Args:
            folder: The split's folder in the store, which all nodes must see.
            chunks: The examples of each shard.
            recipe: How poses are made ready.
            digests: Identify the shards, as this machine sees their files.
            label: What the progress is called.

        Raises:
            DataError: If a shard can't be written, its process dies again and again, or a node doesn't see
                the store or the poses as this machine does.
        """
        refuse_memory(folder, advice="Use --engine processes with --workers 1")
        self._connect()
        tasks = list_tasks(folder, chunks, count=len(digests))
        with shared(folder) as place:
            work = partial(_write_shard, folder=place, recipe=recipe, directory=os.getcwd())
            # Not `strict`: if there are more tasks, their own error says why; if fewer, that of their order.
            results = self._run(work, zip(tasks, digests, strict=False))
            reports = dict(track(results, total=len(digests), label=label, unit="shard"))
        return put_in_order(reports, count=len(digests), folder=folder)

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unasked
        quiet = {"logging_level": logging.WARNING, "log_to_driver": False}
        address = os.environ.get("RAY_ADDRESS")
        try:
            if address:
                _knock(address)
            self._ray.init(address=address or "auto", **quiet)
        except (OSError, RuntimeError, ValueError) as fault:
            if address:
                raise _no_answer(address, fault) from fault
            if not isinstance(fault, ConnectionError):  # one is there, and something else is wrong
                raise DataError(
                    f"The Ray cluster on this machine can't be used ({fault}). Give it the same versions of Python and "
                    "ray, end it (ray stop), or set RAY_ADDRESS=local to use this machine's cores without it."
                ) from fault
            self._ray.init(address="local", num_cpus=self.workers, include_dashboard=False, **quiet)
            logger.info(
                "No Ray cluster is running here; a new one of this machine's cores is used."
            )
        self._is_ours = True
        logger.info(
            "The Ray cluster at %s has %d nodes and %d cores.",
            self._ray.get_runtime_context().gcs_address,
            sum(node["Alive"] for node in self._ray.nodes()),
            self._cores(),
        )

    def _cores(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _free_cores(self) -> float:
        return float(self._ray.available_resources().get("CPU", 0))

    def _run(self, work: Any, tasks: Iterator[tuple[ShardTask, str]]) -> Iterator[tuple[int, Any]]:
        """Yield the number and report of each shard as it is done."""
        ray = self._ray
        # Killed ones are counted here: Ray itself would begin those that memory ran out for again and again.
        remote = ray.remote(work_off).options(
            num_cpus=1, max_retries=0, scheduling_strategy="SPREAD"
        )
        again: deque[tuple[ShardTask, str]] = deque()
        running: dict[Any, tuple[ShardTask, str]] = {}
        kills: dict[int, int] = {}
        notes = WaitingNotes()
        try:
            while True:
                cores = self._cores()  # clusters grow and shrink
                most = self.workers or max(1, READ_AHEAD * cores)
                while len(running) < most:
                    task = again.popleft() if again else next(tasks, None)
                    if task is None:
                        break
                    running[remote.remote(work, task)] = task
                if not running:
                    return
                done, _ = ray.wait(list(running), timeout=WAIT_SECONDS)
                if done:
                    notes.reset()
                else:
                    notes.look(cores=cores, free=self._free_cores)
                for reference in done:
                    task = running.pop(reference)
                    try:
                        message = ray.get(reference)
                    except ray.exceptions.RayTaskError as fault:
                        raise DataError(
                            f"A Ray node could not begin to work: {fault.cause}. The same version of signseq, with the "
                            "same extras, must be installed on all nodes."
                        ) from fault
                    except ray.exceptions.RayError as fault:
                        again.append(task)
                        _count_kill(kills, task[0].number, fault)
                    else:
                        yield task[0].number, open_result(message)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _knock(address: str) -> None:
    """See whether anything answers at `host:port`, as Ray itself tries for many minutes.

    Raises:
        OSError: If nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdecimal():  # else one of Ray's own words, such as `auto`
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _no_answer(address: str, fault: Exception) -> DataError:
    return DataError(
        f"RAY_ADDRESS = {address}: no Ray cluster answers there ({fault}). Start one (ray start --head), "
        "or unset it to use this machine alone."
    )


def _count_kill(kills: dict[int, int], number: int, fault: Exception) -> None:
    said = str(fault).split("\n", 1)[0]
    kills[number] = kills.get(number, 0) + 1
    if kills[number] > RESTARTS:
        raise DataError(
            f"{shard_name(number)}: the process or machine that packed it has died {kills[number]} times "
            f"({type(fault).__name__}: {said}); perhaps memory ran out. Run the same command again, with fewer "
            "--workers; what is packed is kept."
        ) from fault
    logger.warning(
        "A Ray process or node died (%s: %s); its shard goes on elsewhere.",
        type(fault).__name__,
        said,
    )


def _write_shard(
    task: tuple[ShardTask, str], *, folder: StoreFolder, recipe: PoseRecipe, directory: str
) -> ShardReport:
    """What a node does; nothing where it doesn't see what the machine sees that started the run."""
    shard, digest = task
    if os.path.isdir(directory):
        os.chdir(directory)  # relative paths are those of the run
    if isinstance(folder, SharedFolder):
        folder.check()
    if shard_digest(shard.examples, recipe) != digest:
        raise DataError(
            f"{shard.examples[0].place}, or another of {shard_name(shard.number)}: the Ray node {socket.gethostname()} "
            "sees no such file, or another one than the machine that started the run, or has another version of "
            "signseq. `data.pose_dir` must be a place that all nodes share; if the files have just changed, run the "
            "same command again."
        )
    return write_task(shard, folder=folder, recipe=recipe, scratch=None)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as fault:
        raise MissingExtraError(package="ray", extra="ray", purpose="--engine ray") from fault
    return ray
