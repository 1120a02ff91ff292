"""BLEURT and COMET: metrics that are models themselves, and so computed only where one is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from signseq.errors import DataError, ModelError
from signseq.metrics.measured import Floats, Measured, mean
from signseq.metrics.texts import Texts

__all__ = ["measure_bleurt", "measure_comet"]

COMET_PROGRAM = "comet-score"
BATCH = 32
LONGEST = 512  # tokens of both texts


def measure_bleurt(texts: Texts, model: str) -> Measured:
    """Mean BLEURT (Sellam et al., ACL 2020) of a checkpoint that transformers can load as a classifier.

    Args:
        texts: What is scored; of several references the best counts.
        model: A name on the hub, such as Elron/bleurt-base-512, or a folder.

    Raises:
        ModelError: If the model can't be loaded, or gives more than one number.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from signseq.model.hub import not_found

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModelForSequenceClassification.from_pretrained(model)
    except (OSError, ValueError) as fault:
        raise ModelError(
            f"evaluation.bleurt: {not_found('model', model, fault)} Such checkpoints are, for "
            "one, Elron/bleurt-tiny-512 and Elron/bleurt-large-512."
        ) from fault
    if network.config.num_labels != 1:
        raise ModelError(
            f"evaluation.bleurt = {model}: gives {network.config.num_labels} numbers per pair, BLEURT gives one; "
            "this is another kind of model."
        )
    network.train(False)
    scores = np.full((len(texts.references), len(texts)), -np.inf)
    for stream, references in enumerate(texts.references):
        for start in range(0, len(texts), BATCH):
            part = slice(start, start + BATCH)
            batch = tokenizer(
                references[part],
                texts.hypotheses[part],
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            with torch.no_grad():
                found = network(**batch).logits[:, 0]
            scores[stream, part] = found.float().numpy()
    best = np.where(texts.is_there, scores, -np.inf).max(axis=0)
    signature = f"bleurt|model:{model}|nrefs:{texts.reference_count or 'var'}|transformers:{version('transformers')}"
    return Measured(_with_counts(best), mean, signature)


def measure_comet(texts: Texts, model: str) -> Measured:
    """Mean COMET (Rei et al., EMNLP 2020) by Unbabel's own program, without a source text.

    There is none in sign language translation, so it gets empty ones: scores compare with each
    other, not with those of text translation. The package asks for an older transformers than
    ours, so it lives in an environment of its own and is run as a program.

    Raises:
        DataError: If there are several references; COMET takes one.
        ModelError: If the program is not there or fails, as it does where the model can't be downloaded.
    """
    program = shutil.which(COMET_PROGRAM)
    if program is None:
        raise ModelError(
            f"evaluation.comet needs the program {COMET_PROGRAM}, which is not there. It can't be installed beside "
            "transformers 5; install it by itself: pipx install unbabel-comet"
        )
    if len(texts.references) > 1:
        raise DataError(
            "COMET takes one reference, and there are several; leave it out of the metrics."
        )
    with tempfile.TemporaryDirectory() as folder:
        names = {"-s": [""] * len(texts), "-t": texts.hypotheses, "-r": texts.references[0]}
        command = [program]
        for number, (flag, lines) in enumerate(names.items()):
            path = Path(folder) / f"{number}.txt"
            path.write_text(
                "".join(f"{' '.join(line.split())}\n" for line in lines), encoding="utf-8"
            )
            command += [flag, str(path)]
        out = Path(folder) / "scores.json"
        command += ["--model", model, "--gpus", "0", "--to_json", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not out.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(
                f"evaluation.comet = {model}: {COMET_PROGRAM} failed ({last}). Without network it needs a model that "
                "was downloaded before, or the path of a checkpoint."
            )
        rows = next(iter(json.loads(out.read_text(encoding="utf-8")).values()))
    found = np.array([row["COMET"] for row in rows], np.float64)
    return Measured(_with_counts(found), mean, f"comet|model:{model}|src:none|nrefs:1")


def _with_counts(values: Floats) -> Floats:
    return np.column_stack((values, np.ones(len(values))))
