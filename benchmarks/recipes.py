"""What each option of a recipe is worth on the embedded corpus, and on 500 of its sentences.

    python benchmarks/recipes.py [500|4000] [ROW ...] [--seeds 42 43 44] [--epochs N] [--out recipes.jsonl] [--list]

Trains a model per row and seed from configs/demo.yaml, with the same epochs and batches, and scores it on
the 300 test sentences, none of whose names occur in training. What the output file holds already is not run
again; the table of the means is printed at the end, with the standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import time
from itertools import groupby, islice, product
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from signseq.averaging import average
from signseq.config import Config, load_config, parse_config
from signseq.data.fingerspelling import write_corpus
from signseq.data.lexicon import read_index
from signseq.data.recordings import find_lexicon
from signseq.data.signs import SIGNS
from signseq.demo import demo_config
from signseq.evaluation import evaluate
from signseq.outcome import Evaluation
from signseq.preparation import prepare
from signseq.stitching import Joining, stitch
from signseq.training.run import train

WHOLE = 4000
EPOCHS = {500: 60, WHOLE: 8}  # about 2,000 steps each
ENCODER = "model.encoder"
BASE = ("training.label_smoothing=0.1",)
STITCHED = Path("data/stitched")
PRETRAINED = "checkpoints/recipes/pretrained"
PART_GCN = (f"{ENCODER}.type=part_gcn", f"{ENCODER}.width=32")
CTC = ("training.ctc_weight=0.3", "training.ctc_target=tokens")
MIXED, AVERAGED = "mixed with stitched", "average of the last 5 checkpoints"
ROWS: dict[str, tuple[str, ...]] = {
    "conv, stride 4": (),
    "linear": (f"{ENCODER}={{type: linear}}",),
    "stride 1": (f"{ENCODER}.stride=1",),
    "stride 2": (f"{ENCODER}.stride=2",),
    "stride 8": (f"{ENCODER}.stride=8",),
    "layers 2": (f"{ENCODER}.layers=2",),
    "part_gcn": PART_GCN,
    "part_gcn, motion, hand_offsets": (*PART_GCN, f"{ENCODER}.channels=[motion, hand_offsets]"),
    "motion": (f"{ENCODER}.channels=[motion]",),
    "hand_offsets": (f"{ENCODER}.channels=[hand_offsets]",),
    "registers 1": (f"{ENCODER}.registers=1",),
    "registers 4": (f"{ENCODER}.registers=4",),
    "ctc characters 0.3": ("training.ctc_weight=0.3",),
    "ctc tokens 0.3": CTC,
    "ctc tokens 1.0": ("training.ctc_weight=1.0", "training.ctc_target=tokens"),
    "ctc tokens 0.3, stride 2": (*CTC, f"{ENCODER}.stride=2"),
    "label smoothing 0": ("training.label_smoothing=0.0",),
    "label smoothing 0.2": ("training.label_smoothing=0.2",),
    "dropout 0.1": ("model.dropout=0.1",),
    "normalize none": ("data.normalize=none",),
    "normalize shoulders": ("data.normalize=shoulders",),
    "no augmentation": ("data.augment={}",),
    "more augmentation": (
        "data.augment={rotate_degrees: 10, scale: 0.1, speed: 0.2, drop_frames: 0.1, joint_noise: 0.02}",
    ),
    "pretrained on stitched": (f"model.init_from={PRETRAINED}",),
    "pretrained on stitched, ctc tokens 0.3": (f"model.init_from={PRETRAINED}-ctc", *CTC),
    "decoder of the pretrained": (f"model.init_from={PRETRAINED}", "model.init_parts=decoder"),
    "pose encoder of the pretrained": (
        f"model.init_from={PRETRAINED}",
        "model.init_parts=pose_encoder",
    ),
    "part_gcn, ctc tokens 0.3": (*PART_GCN, *CTC),
    "part_gcn of width 64, ctc tokens 0.3": (*PART_GCN, f"{ENCODER}.width=64", *CTC),
    "layerwise_decay 0.8": ("training.layerwise_decay=0.8",),
    MIXED: (),
    AVERAGED: (),
    "t5": ("model.name=t5",),
    "t5, no positions": ("model.name=t5", f"{ENCODER}.positions=none"),
}

OF_STITCHED = {row for row in ROWS if "stitched" in row or "pretrained" in row}


def main() -> None:
    """Run the rows that are asked for, and print the table of all that were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentences", nargs="?", type=int, choices=EPOCHS, default=500)
    parser.add_argument(
        "rows", nargs="*", help="which; all that go with so many sentences, where none is named"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--out", type=Path, default=Path("recipes.jsonl"))
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    given = parser.parse_args()
    if given.list:
        print("\n".join(ROWS))
        return
    if unknown := [row for row in given.rows if row not in ROWS]:
        parser.error(f"no row {unknown[0]!r}; see --list")
    if given.sentences == WHOLE and (unfit := [row for row in given.rows if row in OF_STITCHED]):
        parser.error(
            f"{unfit[0]!r} stitches the texts beyond the cut, and of {WHOLE} sentences there are none"
        )
    fit = [row for row in ROWS if given.sentences < WHOLE or row not in OF_STITCHED]
    write_corpus("sentences", Path("data/sentences"))
    epochs = given.epochs or EPOCHS[given.sentences]
    for row, seed in product(given.rows or fit, given.seeds):
        key = {"row": row, "sentences": given.sentences, "epochs": epochs, "seed": seed}
        if not any(found | key == found for found in read(given.out)):
            outcome = key | run(row, sentences=given.sentences, epochs=epochs, seed=seed)
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(outcome) + "\n")
    print(table(read(given.out)))


def run(row: str, *, sentences: int, epochs: float, seed: int) -> dict[str, Any]:
    """Train and score one row with one seed."""
    folder = f"checkpoints/recipes/{sentences}-{row.replace(' ', '_').replace(',', '')}-{seed}"
    config = load_config(
        demo_config(),
        [
            f"seed={seed}",
            *BASE,
            *(f"data.{key}" for key in cut(sentences)),
            f"training.num_epochs={epochs}",
            f"training.eval_epochs={max(int(epochs) // 4, 1)}",
            "training.save_total_limit=1",
            f"training.checkpoint_dir={folder}",
            *ROWS[row],
            *(f"data.store=stores/{sentences}_{s}" for s in normalisation(row)),
            *mixing(row, sentences=sentences),
        ],
    )
    begun = time.process_time()  # whatever else the machine does meanwhile
    prepare(config)
    if config.model.init_from is not None:
        pretrain(config, sentences=sentences)
    checkpoint = train_averaged(config) if row == AVERAGED else train(config, overwrite=True)
    minutes = (time.process_time() - begun) / 60
    found = evaluate(checkpoint, blind=False)
    return {
        "bleu4": found.scores.bleu4,
        "cer": found.scores.cer,
        "exact": found.scores.exact_match,
        "exact_with_name": exact_with_name(found, config),
        "cpu_minutes": minutes,
    }


def train_averaged(config: Config) -> Path:
    """Train, and average what was saved at the end of each of the last five epochs."""
    training = config.training.model_copy(update={"save_total_limit": 5, "eval_epochs": 1})
    config = config.model_copy(update={"training": training})
    folder = train(config, overwrite=True)
    saved = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    out = folder.with_name(f"{folder.name}-mean")
    shutil.rmtree(out, ignore_errors=True)
    return average(saved[-5:], out)


def mixing(row: str, *, sentences: int) -> list[str]:
    """Settings that mix the stitched sentences in, with as many steps as the other rows take."""
    if row != MIXED:
        return []
    write_stitched(sentences=sentences)
    entry = f"corpus: csv, train_path: {STITCHED}/table.csv, pose_dir: {STITCHED}/poses, store: stores/stitched"
    epochs = EPOCHS[WHOLE]  # of eight times as many clips: the same steps as the other rows
    return [f"data.mix=[{{{entry}}}]", f"training.num_epochs={epochs}", "training.eval_epochs=2"]


def pretrain(config: Config, *, sentences: int) -> None:
    """Train on sentences stitched of one recording per sign; their texts are those beyond the cut."""
    out = config.model.init_from
    assert out is not None
    if (out / "model.safetensors").exists():
        return
    write_stitched(sentences=sentences)
    settings = {
        "data": {
            **{"corpus": "csv", "train_path": STITCHED / "table.csv", "store": "stores/stitched"},
            **{"val_path": None, "test_path": None, "pose_dir": STITCHED / "poses"},
        },
        "training": {"num_epochs": EPOCHS[WHOLE], "checkpoint_dir": out},
        "model": {"init_from": None, "init_parts": "all"},
    }
    changed = {
        name: getattr(config, name).model_copy(update=update) for name, update in settings.items()
    }
    first = parse_config(config.model_copy(update=changed).model_dump(mode="json"))
    prepare(first)
    train(first, overwrite=True)


def write_stitched(*, sentences: int) -> None:
    """Compose the texts beyond the cut of one recording per sign and letter."""
    if (STITCHED / "table.csv").exists():
        return
    signs, letters = Path("data/lexicon/signs"), Path("data/lexicon/letters")
    copy_lexicon(signs, letters)
    with Path("data/sentences/train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[sentences:]
    texts = Path("data/stitched.csv")
    with texts.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uid", "text", "glosses"])
        for row in rows:  # a name is a gloss that the lexicon lacks, so it is spelled
            writer.writerow([row["uid"], row["text"], row["glosses"].replace("fs-", "")])
    joining = Joining(sign_seconds=0.4)
    stitch(signs, texts, STITCHED, letters=letters, missing="spell", joining=joining)


def copy_lexicon(signs: Path, letters: Path) -> None:
    """One recording of each sign and of each letter of one alphabet, as `signseq stitch` reads them."""
    source = find_lexicon()
    found = {
        (row.values["signed_language"], row.values["words"].upper()): source / row.values["path"]
        for row in read_index(source)
    }
    wanted = {signs / f"{gloss}.pose": unit for gloss, unit in SIGNS.items()}
    wanted |= {letters / f"{letter}.pose": ("ase", letter) for letter in ascii_uppercase}
    for path, unit in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[unit], path)


def normalisation(row: str) -> list[str]:
    """The store's name, where a row's poses are normalised otherwise than the others'."""
    return [row.split()[1]] if row.startswith("normalize ") else []


def cut(sentences: int) -> list[str]:
    """Settings of the corpus's first so many training sentences; they are in random order."""
    store = f"store=stores/sentences_{sentences}"
    if sentences == WHOLE:
        return [store]
    whole, part = Path("data/sentences/train.csv"), Path(f"data/sentences/train_{sentences}.csv")
    with whole.open(encoding="utf-8", newline="") as file:
        rows = list(islice(csv.reader(file), sentences + 1))
    with part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return ["corpus=csv", f"train_path={part}", store]


def exact_with_name(found: Evaluation, config: Config) -> float:
    """Per cent of the sentences with a name that are exactly right."""
    with config.data.split_paths["test"].open(encoding="utf-8", newline="") as file:
        named = {row["uid"] for row in csv.DictReader(file) if row["name"]}
    triples = zip(found.uids, found.references, found.hypotheses, strict=True)
    right = [reference == text for uid, reference, text in triples if uid in named]
    return 100 * sum(right) / len(right)


def read(path: Path) -> list[dict[str, Any]]:
    """The outcomes that a file holds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def table(outcomes: list[dict[str, Any]]) -> str:
    """The means over the seeds as Markdown."""
    lines = [
        "| sentences x epochs | row | seeds | BLEU-4 | CER | exact | exact, with a name | CPU minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (sentences, epochs, row), found in groupby(sorted(outcomes, key=_row), key=_row):
        runs = list(found)
        cells = [f"{sentences} x {epochs:g}", row, str(len(runs))]
        for key in ("bleu4", "cer", "exact", "exact_with_name", "cpu_minutes"):
            values = [one[key] for one in runs]
            spread = f" ± {statistics.stdev(values):.1f}" if len(runs) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(outcome: dict[str, Any]) -> tuple[int, float, str]:
    return outcome["sentences"], outcome["epochs"], outcome["row"]


if __name__ == "__main__":
    main()
