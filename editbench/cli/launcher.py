"""Edit, score and report in one go: a process group for each stage, signals passed on, and one exit code."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from types import FrameType

from editbench.cli.command import INCOMPLETE, ended
from editbench.errors import UsageError
from editbench.installation import clone
from editbench.process.encoding import use_utf8
from editbench.process.parent import FINISHED, PARENT, end_with_parent
from editbench.process.signals import stopping
from editbench.process.terminal import keep_standard_streams, say

_FAILURES = 1
"""The exit code of a stage that is complete and had more failures than are allowed."""
_ON_CPU = 2
"""Processes that edit where there is no GPU."""
_RENDEZVOUS_S = 3600
"""How long a machine waits for the others of its launch."""
_COUNT_GPUS = "import torch; print(torch.cuda.device_count())"
# torch is asked, not nvidia-smi: it knows CUDA_VISIBLE_DEVICES, MIG and ROCm


def run(argv: Sequence[str]) -> int:
    """Check, edit, score and report; each stage is one or several processes.

    Args:
        argv: the arguments that edit.py, score.py and report.py take.

    Returns:
        0 complete, 1 more failures than `--max_failures`, 2 a mistake in the call or the benchmark, 3 incomplete, 128
        and a signal's number where one stopped the launch; after the last two the same command continues.
    """
    use_utf8()
    keep_standard_streams()
    end_with_parent()
    pipeline = _Pipeline(argv)
    code = ended(pipeline.run)
    if code == INCOMPLETE or code > 128:
        say(f"editbench: stopped with code {code}; the same command continues.")
    return code


class _Stopped(Exception):
    """A signal came, and the child that got it has ended."""


class _Pipeline:
    def __init__(self, argv: Sequence[str]):
        self._argv = list(argv)
        self._children: list[subprocess.Popen[str]] = []
        self._signal = 0
        for number in stopping():
            signal.signal(number, self._pass_on)

    def run(self) -> int:
        try:
            return self._run()
        except _Stopped:
            return 128 + self._signal
        finally:
            for child in self._children:  # such as the one that counts GPUs, when the check has refused the call
                child.terminate()
                child.wait()

    def _run(self) -> int:
        editors, judges = _number("NUM_EDITORS"), _number("NUM_JUDGES")
        several = num_nodes(os.environ) > 1
        # without the questions that --check prints
        check = self._start("-m", "editbench", "run", *self._argv, "--check", output=subprocess.DEVNULL)
        counted = None if editors else self._start("-c", _COUNT_GPUS, output=subprocess.PIPE)
        if code := self._wait(check):
            return code
        if counted is not None:
            gpus = int(self._read(counted))
            editors = gpus or _ON_CPU
            say(f"{gpus} GPUs: {editors} processes edit.")
        assert editors is not None
        if code := self._stage("edit", editors, several):
            return code
        if judges is None:
            # after editing, so that the run's own config.yaml names the judge where the arguments do not
            judges = int(self._read(self._start("-m", "editbench.cli.replicas", *self._argv, output=subprocess.PIPE)))
        code = self._stage("score", judges, several)
        if code not in (0, _FAILURES):
            return code
        if several and _node(os.environ) != 0:
            return code
        # also of too many failures: the report says which
        return self._to_its_end("report", 1, "-m", "editbench", "report", *self._argv) or code

    def _stage(self, name: str, number: int, several: bool) -> int:
        if number == 1 and not several:
            return self._to_its_end(name, 1, "-m", "editbench", name, *self._argv)
        where = rendezvous(os.environ, name) if several else ["--standalone"]
        return self._to_its_end(
            *(name, number),
            *("-m", "editbench.cli.processes", *where, f"--nproc_per_node={number}"),
            *("-m", "--", "editbench", name, *self._argv),
        )

    def _to_its_end(self, name: str, number: int, *argv: str) -> int:
        """The exit code of a stage; `INCOMPLETE` where one of its processes ended with 0 before its work did."""
        with tempfile.TemporaryDirectory(prefix="editbench-") as folder:
            code = self._wait(self._start(*argv, more={FINISHED: folder}))
            num_finished = len(os.listdir(folder))
        if code == 0 and num_finished < number:
            say(
                f"{number - num_finished} of {number} processes of the stage {name} ended with code 0 before their "
                "work was done: a plug-in or a library ended them."
            )
            return INCOMPLETE
        return code

    def _start(
        self, *argv: str, output: int | None = None, more: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        if self._signal:
            raise _Stopped
        child = subprocess.Popen(
            [sys.executable, *argv],
            env={**_environment(), **(more or {})},
            stdout=output,
            text=True,
            process_group=0,  # so that a Ctrl-C reaches it once: from here, not from the terminal as well
        )
        self._children.append(child)
        if self._signal:  # it came in between
            child.send_signal(self._signal)
        return child

    def _read(self, child: "subprocess.Popen[str]") -> str:
        """The output of a child that ends well.

        Raises:
            OSError: it does not.
        """
        assert child.stdout is not None
        text = child.stdout.read()
        if code := self._wait(child):
            if code == INCOMPLETE:
                raise OSError("a part of the launch ended early")
            raise UsageError("the launch cannot continue")
        return text

    def _wait(self, child: "subprocess.Popen[str]") -> int:
        code = child.wait()
        self._children.remove(child)
        if self._signal:
            for other in self._children:
                other.wait()
            raise _Stopped
        if code < 0:
            say(f"The process was killed by {signal.Signals(-code).name}.")
            return INCOMPLETE
        return code

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        for child in self._children:
            child.send_signal(number)


def num_nodes(environ: Mapping[str, str]) -> int:
    """The number of machines that torchrun's own variable asks for: 1 where it is not set, the upper of `1:4`.

    Raises:
        UsageError: it is no number.
    """
    text = environ.get("PET_NNODES", "1")
    most = text.rpartition(":")[2]
    if not most.isdecimal() or most == "0":
        raise UsageError(f"PET_NNODES={text}: it must be a number of machines, such as 2")
    return int(most)


def rendezvous(environ: Mapping[str, str], stage: str) -> list[str]:
    """Torchrun's options by which the machines of a launch find each other; another id for each stage.

    A machine that is behind must not meet the stage before, nor one that is ahead find that it is closed.
    """
    timeouts = [f"{name}={_RENDEZVOUS_S}" for name in ("join_timeout", "read_timeout", "timeout")]
    conf = ",".join([*timeouts, *filter(None, [environ.get("PET_RDZV_CONF")])])
    return [f"--rdzv_id={environ.get('PET_RDZV_ID', 'editbench')}-{stage}", f"--rdzv_conf={conf}"]


def _node(environ: Mapping[str, str]) -> int:
    return int(environ.get("PET_NODE_RANK", environ.get("SLURM_NODEID", "0")))


def _number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{variable}={text}: it must be a number of processes, 1 or more")
    return int(text)


def _environment() -> dict[str, str]:
    """What the children see: this package, no folder that the user happens to stand in, and their parent."""
    environ = {**os.environ, PARENT: str(os.getpid()), "PYTHONSAFEPATH": "1"}
    environ.pop("SLURM_PROCID", None)  # srun may have started one launcher a node: its children are no tasks of srun
    environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost connection is reported by us, in a sentence
    environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun would, with a warning
    if (root := clone()) is not None:
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return environ
