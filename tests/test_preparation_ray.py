"""A store that a Ray cluster of two nodes packs has the bytes of any other, also when nodes die.

The nodes run on this machine, each with processes of its own. Only where Ray is installed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import make_pose
from signseq import preparation
from signseq.config import Config, save_config
from signseq.data import ray_folder, ray_packing
from signseq.errors import DataError
from signseq.poses.sequence import write_pose
from signseq.preparation import prepare

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves pipes and log files to be closed when their process ends.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]
MakeConfig = Callable[..., Config]
CLIPS = 60

# Each shard takes half a second, so that a kill falls between; on the node that is named, an hour.
RUN = """
import sys, time
from signseq import preparation
from signseq.config import load_config
from signseq.data import ray_packing
preparation.CLIPS_PER_SHARD = 2
write_shard, doomed = ray_packing._write_shard, sys.argv[2:]
def write_slowly(*arguments, **options):
    import pathlib, ray
    if ray.get_runtime_context().get_node_id() in doomed:
        pathlib.Path(doomed[1]).touch()
        time.sleep(3600)
    time.sleep(0.5)
    return write_shard(*arguments, **options)
ray_packing._write_shard = write_slowly
preparation.prepare(load_config(sys.argv[1]), engine="ray")
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two nodes with a core each."""
    from ray.cluster_utils import Cluster

    environment = pytest.MonkeyPatch()
    environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
    source = os.pathsep.join(path for path in sys.path if path)
    environment.setenv("PYTHONPATH", source)  # of the nodes' processes
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()
    environment.undo()


@pytest.fixture
def cluster(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The one that a run connects to."""
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    return nodes


@pytest.fixture
def corpus(tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Clips that take a while, in shards of two."""
    monkeypatch.setattr(preparation, "CLIPS_PER_SHARD", 2)
    (tmp_path / "poses").mkdir()
    for number in range(4):
        write_pose(
            tmp_path / "poses" / f"{number}.pose",
            make_pose(frames=300, seed=number),
            size=(500, 500),
        )
    rows = "".join(
        f"clip-{number},sentence {number},{number % 4}.pose\n" for number in range(CLIPS)
    )
    (tmp_path / "train.csv").write_text(f"uid,text,pose_path\n{rows}")
    return make_config("data.test_path=null", "data.val_path=null")


def with_store(config: Config, place: str | Path) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"store": place})})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted((folder / "train").iterdir())
        if path.name != ".lock"
    }


def undisturbed(config: Config, tmp_path: Path) -> dict[str, bytes]:
    prepare(with_store(config, tmp_path / "undisturbed"), workers=1)
    return contents(tmp_path / "undisturbed")


def wait_until(claim: Callable[[], bool]) -> None:
    for _ in range(1200):
        if claim():
            return
        time.sleep(0.05)
    raise AssertionError("the nodes don't begin")


def test_two_nodes_write_the_bytes_of_one_process(
    cluster: Any, corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the nodes were started elsewhere
    relative = with_store(corpus, Path("store"))
    reports = prepare(relative, engine="ray")
    assert reports["train"].clips == CLIPS
    assert contents(tmp_path / "store") == undisturbed(corpus, tmp_path)
    assert not ray.is_initialized()


def test_a_remote_store_is_written_by_the_nodes_themselves(
    cluster: Any, corpus: Config, tmp_path: Path
) -> None:
    prepare(with_store(corpus, f"file://{tmp_path}/elsewhere"), engine="ray")
    assert contents(tmp_path / "elsewhere") == undisturbed(corpus, tmp_path)


def test_a_node_that_dies_costs_nothing(cluster: Any, corpus: Config, tmp_path: Path) -> None:
    save_config(corpus, tmp_path / "config.yaml")
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, tmp_path / "config.yaml", node.node_id, tmp_path / "begun"],
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        wait_until((tmp_path / "begun").exists)
        cluster.remove_node(node, allow_graceful=False)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert "its shard goes on elsewhere" in said
    assert contents(corpus.data.store) == undisturbed(corpus, tmp_path)


def test_a_run_whose_driver_is_killed_goes_on(cluster: Any, corpus: Config, tmp_path: Path) -> None:
    save_config(corpus, tmp_path / "config.yaml")
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "config.yaml")]) as run:
        wait_until(lambda: len(list(corpus.data.store.glob("train/shard-*.json"))) >= 2)
        run.send_signal(signal.SIGKILL)
    assert not (corpus.data.store / "train" / "store.json").exists()
    prepare(corpus, engine="ray")
    assert contents(corpus.data.store) == undisturbed(corpus, tmp_path)


def test_a_node_that_does_not_see_the_store_or_the_poses_is_named(
    cluster: Any, corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ray_folder, "MARKER", "elsewhere/")  # as if the folder were another one
        patch.setattr(Path, "touch", lambda *_, **__: None)
        with pytest.raises(DataError, match=r"doesn't see this folder as the machine does"):
            prepare(corpus, engine="ray")
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "shard_digest", lambda *_: "what the nodes don't see")
        with pytest.raises(DataError, match=r"sees no such file.*`data\.pose_dir` must be a place"):
            prepare(corpus, engine="ray")


def test_a_shard_that_kills_its_process_each_time_is_named(
    cluster: Any, corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_packing, "work_off", lambda *_: os._exit(9))
    with pytest.raises(DataError, match=r"shard-0000\d: the process or machine .* died 3 times"):
        prepare(corpus, engine="ray")


def test_an_address_where_no_cluster_is_is_named(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(DataError, match=r"RAY_ADDRESS = 127\.0\.0\.1:9: no Ray cluster answers"):
        prepare(corpus, engine="ray")


def test_without_a_cluster_this_machine_is_one(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    prepare(corpus, engine="ray", workers=1)
    assert contents(corpus.data.store) == undisturbed(corpus, tmp_path)


def test_a_cluster_that_is_there_and_cannot_be_used_is_named(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("Version mismatch")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(
        DataError, match=r"cluster on this machine can't be used \(Version mismatch\)"
    ):
        prepare(corpus, engine="ray")


def test_an_address_is_tried_before_videos_are_read(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "extract_named", None)  # would fail
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(DataError, match="no Ray cluster answers"):
        prepare(corpus, engine="ray")


@pytest.mark.parametrize("change", ["shorter", "longer", "other words"])
def test_a_table_that_changes_while_it_is_packed_is_said_to(
    cluster: Any, corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    table, pack = tmp_path / "train.csv", preparation._pack_split
    lines = table.read_text().splitlines(keepends=True)
    changes = {
        "shorter": lines[:-5],
        "longer": [*lines, "clip-x,we,1.pose\n"],
        "other words": [lines[0], "clip-0,other words,0.pose\n", *lines[2:]],
    }

    def change_meanwhile(*arguments: Any) -> Any:
        table.write_text("".join(changes[change]))
        return pack(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_pack_split", change_meanwhile)
        with pytest.raises(
            DataError, match=r"table was changed while it was packed\. Run the same"
        ):
            prepare(corpus, engine="ray")
    prepare(corpus, engine="ray")
    assert contents(corpus.data.store) == undisturbed(corpus, tmp_path)


def test_a_cluster_without_cores_waits_for_one_and_says_so(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, as one can be connected to one cluster only."""
    save_config(corpus, tmp_path / "config.yaml")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    empty = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        script = (
            "import logging; logging.basicConfig(level='INFO')\n"
            "from signseq.data import ray_packing, waiting\n"
            "ray_packing.WAIT_SECONDS = waiting.FIRST_SECONDS = 0.5\n" + RUN
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "config.yaml"],
            env={**os.environ, "RAY_ADDRESS": empty.address},
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stderr is not None
            said = next(line for line in run.stderr if "0 cores: no shard was done" in line)
            assert "waiting" in said
            empty.add_node(num_cpus=2)
            _, rest = run.communicate(timeout=120)
        assert run.returncode == 0, rest
    finally:
        empty.shutdown()
    assert contents(corpus.data.store) == undisturbed(corpus, tmp_path)
