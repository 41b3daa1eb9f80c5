"""How many judges a machine runs."""

import json
import subprocess
import sys

import pytest

from editbench.cli.replicas import num_judges
from editbench.judges import QwenVL, Server

GIB = 2**30


@pytest.mark.parametrize(
    ("gpus", "weights", "number"),
    [
        ([80] * 8, 58, 8),  # 62 fit in 72
        ([24] * 8, 58, 2),  # three GPUs hold 62 of 64.8
        ([24] * 2, 58, 1),  # and two do not, whatever is done
        ([40] * 4, 58, 2),
        ([80, 24], 58, 1),  # by the smaller one
        ([80] * 8, 700, 1),
        ([80], 1, 1),
        ([], 58, 2),
        ([80] * 8, None, 1),
        ([80] * 8, 0, 1),
    ],
)
def test_each_judge_gets_the_gpus_that_its_weights_need(gpus, weights, number):
    found, why = num_judges([gpu * GIB for gpu in gpus], None if weights is None else weights * GIB)
    assert found == number
    assert why


def test_the_weights_are_told_from_the_index_and_the_type_they_will_have(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"dtype": "bfloat16"}))
    assert QwenVL(model=str(tmp_path)).weight_bytes() is None
    index = {"metadata": {"total_size": 62_141_000_000}, "weight_map": {}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert QwenVL(model=str(tmp_path)).weight_bytes() == 62_141_000_000
    assert QwenVL(model=str(tmp_path), dtype="float32").weight_bytes() == 2 * 62_141_000_000
    assert Server(model="m").weight_bytes() == 0


def test_the_launcher_is_told_a_number_and_the_user_why():
    done = subprocess.run([sys.executable, "-m", "editbench.cli.replicas"], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1
    assert "judge demo-judge (" in done.stderr
