"""Train the demo's models on one GPU, in parts that can be interrupted: `python -m editbench.demo.train vae`.

The parts, in their order: `vae`, `editor`, `decoder` (the autoencoder's, once more), `judge`. Each goes on from its
checkpoint in `--folder`; `export` writes the weights beside this file, and `python -m editbench.demo.evaluate` measures
them. `unpack` fills a new folder with the shipped weights, so that training goes on from them.
"""

import argparse
import sys
from pathlib import Path

from editbench.demo import train_editor, train_judge, train_vae
from editbench.demo.models import EDITOR, JUDGE, export, unpack

PARTS = {
    "vae": (train_vae.train, 300.0),
    "editor": (train_editor.train, 1000.0),
    "decoder": (train_vae.train_decoder, 200.0),
    "judge": (train_judge.train, 360.0),
}


def main() -> None:
    """Train a part, or go on with it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("part", choices=[*PARTS, "export", "unpack"], help="what to train")
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
    train, total_s = PARTS[arguments.part]
    finished = train(arguments.folder, total_s=arguments.total_s or total_s, call_s=arguments.call_s)
    sys.stdout.write(f"{arguments.part} {'finished' if finished else 'goes on: give the same command again'}\n")


if __name__ == "__main__":
    main()
