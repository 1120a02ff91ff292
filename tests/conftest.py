"""Tiny, seeded data that the tests share; nothing is downloaded."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads are slower than one on a busy machine
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

from signseq.config import Config, parse_config
from signseq.poses.keypoints import get_keypoint_set
from signseq.poses.sequence import PoseSequence, write_pose

if TYPE_CHECKING:
    from signseq.model.sign_translation import SignTranslationModel

# The same examples in every run, and no failure because a machine is busy.
settings.register_profile(
    "signseq", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("signseq")

WORDS = ("we", "you", "eat", "see", "bread", "water")
KEYPOINTS = get_keypoint_set("upper_body_hands").keypoints


def make_pose(
    *, frames: int = 12, seed: int = 0, keypoints: tuple[str, ...] = KEYPOINTS, fps: float = 25.0
) -> PoseSequence:
    """A person standing still, 200 pixels wide at the shoulders, whose points tremble."""
    rng = np.random.default_rng(seed)
    middle = np.array([250.0, 250.0, 0.0])
    rest = middle + np.random.default_rng(7).uniform(-150, 150, size=(len(keypoints), 3))
    for name, x in (("LEFT_SHOULDER", 350.0), ("RIGHT_SHOULDER", 150.0)):
        full = f"POSE_LANDMARKS.{name}"
        if full in keypoints:
            rest[keypoints.index(full)] = (x, 250.0, 0.0)
    data = rest + rng.normal(scale=0.5, size=(frames, len(keypoints), 3))
    return PoseSequence(
        data.astype(np.float32), np.ones((frames, len(keypoints)), np.float32), fps, keypoints
    )


def sign_pose(text: str, *, seed: int = 0) -> PoseSequence:
    """A pose that shows a text: six frames a word, each word a hand shape of its own."""
    words = text.split()
    pose = make_pose(frames=6 * len(words), seed=seed)
    hands = [
        i for i, name in enumerate(pose.keypoints) if "HAND" in name and not name.endswith("WRIST")
    ]
    for place, word in enumerate(words):
        shape = np.random.default_rng(abs(hash_text(word))).normal(scale=30, size=(len(hands), 3))
        pose.data[6 * place : 6 * place + 6, hands] += shape.astype(np.float32)
    return pose


def interruptible(*arguments: str | Path) -> list[str]:
    """A Python command that Ctrl-C reaches even where the tests run in the background.

    Shells let background jobs ignore SIGINT, and what ignores it hands that on to its children.
    """
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    heed += "os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", heed, sys.executable, *map(str, arguments)]


def hash_text(text: str) -> int:
    """A number that is the same in every run, unlike `hash`."""
    return int.from_bytes(text.encode()[:8], "little")


def write_rows(
    path: Path, rows: Iterable[dict[str, str]], *, columns: tuple[str, ...] = ("uid", "text")
) -> Path:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_corpus(folder: Path, **sizes: int) -> Path:
    """Write .pose files and a table per split; sentences of one to three known words."""
    (folder / "poses").mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for split, size in sizes.items():
        rows = []
        for number in range(size):
            text = " ".join(rng.choice(WORDS, size=1 + number % 3))
            uid = f"{split}-{number}"
            write_pose(
                folder / "poses" / f"{uid}.pose", sign_pose(text, seed=number), size=(500, 500)
            )
            rows.append({"uid": uid, "text": text})
        write_rows(folder / f"{split}.csv", rows)
    return folder


def tiny_config(folder: Path, *overrides: str) -> Config:
    """A config of a tiny model on the files of `write_corpus`; overrides are dotted."""
    settings = {
        "data": {
            **{f"{split}_path": str(folder / f"{split}.csv") for split in ("train", "val", "test")},
            "pose_dir": str(folder / "poses"),
            "store": str(folder / "store"),
            "keypoints": "upper_body_hands",
            "max_frames": 64,
            "max_length": 16,
        },
        "model": {
            "name": "bart",
            "from_scratch": True,
            "tokenizer": "train",
            "size": {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64},
            "dropout": 0.0,
            "encoder": {"type": "conv", "stride": 2, "width": 32},
        },
        "training": {
            "num_epochs": 2,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "num_workers": 0,
            "checkpoint_dir": str(folder / "run"),
        },
        "generation": {"num_beams": 2, "max_new_tokens": 8},
    }
    return parse_config(settings, overrides)


@pytest.fixture
def write_corpus_files(tmp_path: Path) -> Callable[..., Path]:
    """`write_corpus` into the test's own folder."""
    return partial(write_corpus, tmp_path)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """`tiny_config` on the test's own folder."""
    return partial(tiny_config, tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with its store, for all tests: none may change it."""
    from signseq.preparation import prepare

    folder = write_corpus(tmp_path_factory.mktemp("prepared"), train=96, val=12, test=12)
    prepare(tiny_config(folder), workers=1)
    return folder


@pytest.fixture
def run_config(prepared: Path, tmp_path: Path) -> Callable[..., Config]:
    """A config on the shared store; its runs go into the test's own folder."""

    def make(*overrides: str) -> Config:
        folder = f"training.checkpoint_dir={tmp_path / 'run'}"
        return tiny_config(prepared, "training.best_metric=cer", folder, *overrides)

    return make


@pytest.fixture(scope="session")
def trained(prepared: Path) -> Path:
    """The folder of a run that has learned the corpus, for all tests: none may change it."""
    from signseq.training.run import train

    settings = ("best_metric=cer", "num_epochs=70", "eval_epochs=35", "batch_size=12")
    return train(tiny_config(prepared, *(f"training.{setting}" for setting in settings)))


@pytest.fixture(scope="session")
def server(trained: Path) -> Any:
    """Servers of the trained run, in this process."""
    from servers import Server

    return Server(trained)


@pytest.fixture
def stuck(server: Any) -> Iterator[Any]:
    """A translator whose model waits until it is let go."""
    from servers import Stuck

    model = Stuck(server.translator)
    yield model
    model.going.set()


@pytest.fixture
def run_folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of a trained run's folder, to be changed at will."""
    outcomes = shutil.ignore_patterns("predictions*", "scores*")
    return Path(shutil.copytree(trained, tmp_path / "copy", ignore=outcomes))


@pytest.fixture(scope="session")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with predictions and scores, for all tests: none may change it."""
    from signseq.evaluation import evaluate

    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run"))
    evaluate(folder, controls="zeroed,frequent,hands")
    return folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., SignTranslationModel]:
    """A tiny model of any architecture with random weights, on four keypoints; seeded."""
    import torch

    from signseq.config import ModelConfig
    from signseq.model.building import build_model, build_text_side
    from signseq.model.text_models import load_text_model
    from signseq.model.vocabulary import train_tokenizer

    tokenizer = train_tokenizer(["we eat bread", "you see water"] * 2)

    def make(
        name: str = "bart",
        *,
        encoder: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        decoder_name: str | None = None,
        **settings: Any,
    ) -> SignTranslationModel:
        torch.manual_seed(0)
        size = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64}
        wanted = {"name": name, "from_scratch": True, "dropout": 0.0, "size": size}
        wanted["decoder_name"] = decoder_name
        text_model = load_text_model(
            ModelConfig.model_validate({**wanted, "config": config or {}}), tokenizer
        )
        settings.setdefault("text_side", build_text_side(text_model, tokenizer, max_length=16))
        return build_model(
            text_model,
            encoder={"type": "conv", "stride": 2, "width": 16, "positions": "auto"}
            | (encoder or {}),
            recipe={"keypoints": "hands", "normalize": "none", "fps": None, "dimensions": 2},
            mean=torch.zeros(4, 2),
            spread=torch.ones(4, 2),
            **{"keypoints": ("a", "b", "c", "d"), "max_frames": 64, **settings},
        )

    return make


@pytest.fixture
def clips() -> Callable[..., dict[str, Any]]:
    """A batch of random clips on four keypoints, zero where padded; lengths in frames."""
    import torch

    def make(*lengths: int, seed: int = 0) -> dict[str, Any]:
        rng = torch.Generator().manual_seed(seed)
        poses = torch.zeros(len(lengths), max(lengths), 4, 3)
        mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        for row, length in enumerate(lengths):
            poses[row, :length] = torch.randn(length, 4, 3, generator=rng)
            poses[row, :length, :, 2] = 1
            mask[row, :length] = 1
        return {"poses": poses, "attention_mask": mask}

    return make


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the command line in this process: (exit code, standard output, standard error)."""

    from signseq import __main__ as cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["python -m signseq", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run
