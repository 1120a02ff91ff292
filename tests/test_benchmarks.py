import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_table_of_throughput_is_made_without_a_gpu():
    command = [sys.executable, ROOT / "benchmarks/throughput.py", "--tiny"]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(command, capture_output=True, text=True, env=hidden, check=True)

    rows = [line.split(" | ") for line in found.stdout.splitlines() if line.startswith("| tiny")]
    assert [row[1] for row in rows] == ["fp32", "eager"]
    assert all(float(row[3]) > 0 and len(row) == 15 for row in rows)
