"""Whether published outputs of 16 systems get sacreBLEU's own scores from us, to the last digit.

    pip download --no-deps --no-binary sacrebleu sacrebleu==2.6.0
    python benchmarks/published.py sacrebleu-2.6.0.tar.gz

sacreBLEU's source package holds what 16 systems submitted to WMT 2017, English to German, for its own
tests. Each is scored by `sacrebleu` as a program and by `signseq.score`.
"""

from __future__ import annotations

import bz2
import io
import json
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from signseq import score

MEMBER = "test/wmt17_en_de_systems.pkl.bz2"
THEIRS = {"bleu4": "BLEU", "chrf_pp": "chrF2++", "ter": "TER"}


class _PlainValues(pickle.Unpickler):
    """Lists and strings only: a pickle could run anything else."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in a file of texts")


def read_systems(package: Path) -> dict[str, Any]:
    """Names and outputs of the systems; under `reference` a list of streams of references."""
    with tarfile.open(package) as archive:
        [member] = [each for each in archive.getmembers() if each.name.endswith(MEMBER)]
        packed = archive.extractfile(member)
        assert packed is not None
        return dict(_PlainValues(io.BytesIO(bz2.decompress(packed.read()))).load())


def ask_sacrebleu(folder: Path) -> dict[str, Any]:
    command = [
        *(sys.executable, "-m", "sacrebleu", folder / "references", "-i", folder / "outputs"),
        *("-m", "bleu", "chrf", "ter", "--chrf-word-order", "2", "--width", "14"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def main(package: Path) -> int:
    systems = read_systems(package)
    [references] = systems.pop("reference")
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "references", references)
        for system, outputs in systems.items():
            _write(folder / "outputs", outputs)
            ours = score(outputs, references, tokenize="13a", metrics=list(THEIRS))
            theirs = ask_sacrebleu(folder)
            same = all(
                f"{ours.values()[own]:.10f}" == f"{theirs[other]['score']:.10f}"
                and ours.signatures[own] == theirs[other]["signature"]
                for own, other in THEIRS.items()
            )
            differing += not same
            shown = "  ".join(f"{own} {ours.values()[own]:.4f}" for own in THEIRS)
            print(f"{system:<45}{shown}  {'the same' if same else 'DIFFERS'}", flush=True)
    print(f"{len(systems)} systems, {len(references)} sentences; {differing} differ.")
    return int(differing > 0)


def _write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
