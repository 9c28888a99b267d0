"""Runs every command of README.md and docs/ that needs no network, GPU or cluster, with a small model and few steps.

    python tests/programs/run_docs.py [PART OF A COMMAND]

Those of the tutorial run in their order in a folder of their own, all others in one that holds what the pages name, of
a sweep its first job. Left out are own parts, claims, launchers, other libraries and large data, which tests run.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import ssvae
from test_docs import MARK, PAGES, REFUSED, commands, first_job, name_again, words_of, write_data

SMALL = {
    "train": "trainer.epochs=1 trainer.device=cpu",
    "eval": "training.steps=10 device=cpu",
    "finetune": "epochs=1 device=cpu",
    "embed": "device=cpu",
    "mi": "training.steps=20 zero_check=false",
    "bench": "bench.rounds=1 bench.seconds=0.05",
}
ELSEWHERE = re.compile(
    r"claims/|hydra/|resnet50.pth|vit_tiny|FILE.h5ad|CELLS.h5ad|japanese_vowels.npz|path=FOLDER|NEW.csv|trackers=|trackers.(wandb|mlflow)|checkpoint=|bf16|torchrun"
    r"|root=CIFAR|dataset=shards|export=onnx|batch_size=32768|^ssvae (embed|eval|finetune|report)$"
)
READS = re.compile(r"trainer\.(eval_every|keep_best)=|evaluation\.")  # what a run without metrics refuses


def small(command: str, words: list[str], whole: bool) -> list[str]:
    """What a command is given besides: its own settings stay."""
    given = {word.split("=")[0] for word in words}
    if given & {"resume", "sweep.resume", "lags"}:  # which take no further settings, or read none of these
        return []
    read = whole or command != "train" or "evaluation" in given or READS.search(" ".join(words))
    unread = [] if read else ["evaluation=none"]
    return [word for word in SMALL.get(command, "").split() if word.split("=")[0] not in given] + unread


def run(line: str, whole: bool) -> bool:
    """Run one command; whether it ended well. whole: with all jobs of a sweep, and its evaluation."""
    began, (command, *words) = time.time(), words_of(line)
    write_data(command, words)
    words = words if whole or "sweep.dry_run=true" in words else first_job(words)
    code = ssvae(command, *words, *small(command, words, whole))
    print(f"{'ok' if code == 0 else f'FAILED ({code})'}  {time.time() - began:.1f} s  {line}", flush=True)
    return code == 0


def make_places() -> None:
    """RUN, DIR and the data that the pages name."""
    few = ["trainer.device=cpu", "dataset.limit=300"]
    assert ssvae("train", *few, "evaluation=quick", "trainer.epochs=1", "hydra.run.dir=RUN") == 0
    assert ssvae("train", *few, "trainer.epochs=0", "-m", "seed=0", "hydra.sweep.dir=DIR") == 0
    name_again()
    rng = np.random.default_rng(0)
    rows = [",".join(["a", "b", "COLUMN"]), *(f"{a},{b},{int(a > 0)}" for a, b in rng.normal(size=(100, 2)))]
    Path("FILE.csv").write_text("\n".join(rows))
    Path("my runs").mkdir()
    Path("my runs/lr=0.1,a (1)").symlink_to(Path("RUN").resolve())


def main() -> None:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    tutorial = commands(PAGES["docs/tutorial.md"])
    others = dict.fromkeys(line for page in sorted(PAGES) for line in commands(PAGES[page]) if line not in tutorial)
    failed = []
    for lines in (tutorial, others):
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            if lines is others:
                make_places()
            for line in lines:
                if part in line and line != REFUSED and not MARK.search(line) and not ELSEWHERE.search(line):
                    failed += [] if run(line, whole=lines is tutorial) else [line]
            os.chdir("/")
    print(f"{len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
