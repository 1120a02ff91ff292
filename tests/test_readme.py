"""The README's code runs, word for word but for its size."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from signseq.config import parse_config
from signseq.data.fingerspelling import write_corpus
from signseq.settings import parse_yaml

ROOT = Path(__file__).parents[1]
SMALLER = [
    "training.max_steps=4",
    "training.eval_batch_size=8",
    "generation.max_new_tokens=8",
    "generation.num_beams=2",
]


def test_the_ten_lines_of_python_run_as_a_script_without_a_main_guard(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    assert '["training.num_epochs=24"]' in code
    (tmp_path / "script.py").write_text(code.replace('["training.num_epochs=24"]', repr(SMALLER)))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    write_corpus("sentences", tmp_path / "data/sentences", sizes={"train": 24, "val": 8, "test": 8})

    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoints/demo/scores.json").exists()


def test_the_file_tree_names_every_module():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"```\n(src/signseq/.*?)```", readme, re.DOTALL)[1]
    words = set(re.findall(r"[\w.]+", tree))

    modules = [path for path in (ROOT / "src/signseq").rglob("*.py") if path.stat().st_size]
    missing = [path.name for path in modules if not {path.name, path.stem} & words]

    assert not missing


def test_the_example_config_is_valid():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)[1]

    config = parse_config(parse_yaml(block, place="README"))

    assert set(config.data.split_paths) == {"train", "val", "test"}
