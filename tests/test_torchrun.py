"""torchrun starts our scripts as people type it: without `--`, with every option that we have."""

import subprocess

import pytest
import torch.distributed.run as torchrun

from editbench.cli.options import make_parser
from tests.conftest import BIN, FAILING, ROOT, environment, rows

OURS = sorted({name for action in make_parser("")._actions for name in action.option_strings})
THEIRS = {name for action in torchrun.get_args_parser()._actions for name in action.option_strings}


def test_two_processes_edit_and_score_as_the_command_is_typed(dots, tmp_path):
    run = tmp_path / "run"
    for script in ("edit.py", "score.py"):
        argv = [script, "--benchmark", str(dots), "--run_dir", str(run), *FAILING]
        typed = [str(BIN / "torchrun"), "--nproc_per_node=2", *argv]
        done = subprocess.run(typed, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert len(rows(run / "manifest.jsonl")) == len(rows(run / "scores" / "StuckJudge.jsonl")) == 12
    assert {path.name for path in (run / "logs").iterdir()} >= {"edit.rank0.log", "edit.rank1.log"}


@pytest.mark.parametrize("option", OURS)
def test_torchrun_leaves_every_option_to_the_script(option):
    for typed in ([option, "x"], [f"{option}=x"]):
        args = torchrun.parse_args(["--nproc_per_node=2", "edit.py", *typed])
        assert (args.training_script, args.training_script_args) == ("edit.py", typed)
    assert not [name for name in THEIRS if name.startswith(option) and name != option]
