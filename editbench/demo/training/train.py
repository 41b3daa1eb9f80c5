"""Train the demo's models on one GPU, in parts that can be interrupted: `python -m editbench.demo.training.train`.

The parts, in their order: `vae`, `eyes` (the judge's), `editor`, `decoder` (the autoencoder's, once more), `judge`; one
of them alone by its name. Each goes on from its checkpoint in `--folder`; `export` writes the weights beside this file,
and `python -m editbench.demo.evaluate` measures them. `unpack` fills a new folder with the shipped weights, so that
training goes on from them.
"""

import argparse
import sys
import time
from pathlib import Path

from editbench.demo.training import train_editor, train_judge, train_vae
from editbench.demo.training.models import EDITOR, JUDGE, export, unpack
from editbench.demo.training.session import spent_s

PARTS = {
    "vae": (train_vae.train, 300.0),
    "eyes": (train_judge.train_eyes, 70.0),
    "editor": (train_editor.train, 470.0),
    "decoder": (train_vae.train_decoder, 230.0),
    "judge": (train_judge.train, 290.0),
}


def main() -> None:
    """Train a part, or all, or go on with it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    choices = [*PARTS, "export", "unpack"]
    parser.add_argument("part", nargs="?", choices=choices, help="what to train; nothing: all parts in their order")
    parser.add_argument("--folder", type=Path, default=Path(".demo-training"), help="of checkpoints and the log")
    parser.add_argument("--total_s", type=float, help="the part's whole training, seconds; its schedule follows it")
    parser.add_argument("--call_s", type=float, default=1e9, help="the most of this call, seconds")
    parser.add_argument("--editor_to", type=Path, default=EDITOR, help="where export writes the editor")
    parser.add_argument("--judge_to", type=Path, default=JUDGE, help="where export writes the judge")
    arguments = parser.parse_args()
    if arguments.part == "export":
        export(arguments.folder, arguments.editor_to, arguments.judge_to)
        return
    if arguments.part == "unpack":
        unpack(arguments.folder)
        return
    ends = time.monotonic() + arguments.call_s
    for part in [arguments.part] if arguments.part else PARTS:
        train, total_s = PARTS[part]
        total_s = arguments.total_s or total_s
        if spent_s(part, arguments.folder) >= total_s:
            continue
        finished = train(arguments.folder, total_s=total_s, call_s=ends - time.monotonic())
        sys.stdout.write(f"{part} {'finished' if finished else 'goes on: give the same command again'}\n")
        if not finished:
            return


if __name__ == "__main__":
    main()
