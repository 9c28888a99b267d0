"""Kill a small run again and again, resume it each time, and hold what it ends in to a run that was never stopped.

    python tests/programs/kill_test.py --kills 50

SIGKILL inside a checkpoint's write (the child logs where a write begins and ends), SIGKILL, SIGTERM and SIGINT at
random moments. After every kill each file that is there must be readable, and the exit code the documented one; every
run that comes to its end must have the numbers of the reference, bit for bit, and no temporary file. Exits with 1
where not.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from PIL import Image
from safetensors.torch import load_file

from helpers import SHORT_FITS
from ssvae_cli.cli import main as cli
from ssvae_cli.run_folder import CHECKPOINT
from ssvae_cli.training import checkpoint

SMALL = [
    *SHORT_FITS,  # a kill proves nothing about how good the fits are
    *"trainer.epochs=4 trainer.eval_every=2 trainer.batch_size=200 trainer.device=cpu".split(),
    *"encoder.backbone.width=4 encoder.latent_dim=8 estimator=queue estimator.size=300".split(),
]
CLOCKS = {"time/train_s", "throughput/images_per_s", "train_s", "config"}
EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
WAYS = {"inside a write": 2, "SIGKILL": 1, "SIGTERM": 1, "SIGINT": 1}  # and their shares: half of the first come late


def child(arguments: list[str], writes: Path, output: Path) -> int:
    """`ssvae train ARGUMENTS` in a fork; begin and end of each write go to the log `writes`. The process id."""
    if pid := os.fork():
        return pid
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    log = os.open(writes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    whole = checkpoint.atomic_write

    def logged(path, write):
        if path.name != CHECKPOINT.name:
            return whole(path, write)
        os.write(log, b"begin\n")
        whole(path, write)
        os.write(log, b"end\n")

    checkpoint.atomic_write = logged
    sys.argv = ["ssvae", "train", *arguments]
    code = 1
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        os._exit(code)


def wait(pid: int, polls: int = 100_000) -> int:
    """The exit code of a child, -N where signal N ended it. Counted in looks, so that a machine asleep ends nothing."""
    for _ in range(polls):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.003)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("a child did not come to its end")


def written(writes: Path) -> list[str]:
    return writes.read_text().split() if writes.exists() else []


def strike(pid: int, way: str, run: Path, writes: Path, span: float) -> int:
    """Send the child its signal, at a random moment or inside a random write; its exit code."""
    begun, moment, nth = time.monotonic(), random.uniform(0.05, span), random.randint(1, 4)
    number = signal.SIGKILL if way == "inside a write" else getattr(signal, way)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if way == "inside a write":
            lines = written(writes)
            due = lines.count("begin") >= nth and lines[-1] == "begin"
        else:
            due = time.monotonic() - begun > moment and (run / ".hydra").is_dir()
        if due:
            os.kill(pid, number)
            return wait(pid)
    return 0


def unreadable(run: Path) -> list[str]:
    """The files of a run that cannot be read, and why."""
    readers = {
        ".pt": lambda path: torch.load(path, weights_only=True),
        ".json": lambda path: json.loads(path.read_text()),
        ".safetensors": load_file,
        ".png": lambda path: Image.open(path).load(),
    }
    bad = []
    for path in run.rglob("*"):
        try:
            readers.get(path.suffix, lambda path: None)(path)
        except Exception as error:
            bad.append(f"{path.name}: {error}")
    return bad


def difference(one: Path, other: Path) -> list[str]:
    """What two finished runs do not share, clocks left out."""
    read = lambda run: json.loads((run / "summary.json").read_text())
    found = [k for k, v in read(one).items() if k not in CLOCKS and v != read(other)[k]]
    if (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes():
        found.append("metrics.jsonl")
    states = [flat(checkpoint.load(run)) for run in (one, other)]
    found += [k for k, v in states[0].items() if not torch.equal(torch.as_tensor(v), torch.as_tensor(states[1][k]))]
    return found + [f"stray {path.name}" for path in other.rglob("*.tmp")]


def flat(state, prefix="") -> dict:
    """Nested state to dotted keys, numbers and tensors alone."""
    items = state.items() if isinstance(state, dict) else enumerate(state)
    result = {}
    for key, value in items:
        if isinstance(value, (dict, list, tuple)):
            result |= flat(value, f"{prefix}{key}.")
        elif key not in CLOCKS and not isinstance(value, (str, type(None))):
            result[f"{prefix}{key}"] = value
    return result


def kill_test(kills: int, folder: Path, seed: int = 0) -> dict:
    """Do it `kills` times. Counts a way, runs finished, and every fault that was found."""
    random.seed(seed)
    reference, writes = folder / "reference", folder / "writes.log"
    began = time.monotonic()
    assert wait(child([*SMALL, f"hydra.run.dir={reference}"], writes, folder / "output.log")) == 0
    span = time.monotonic() - began
    counts, finished, faults = dict.fromkeys(WAYS, 0), 0, []
    run = folder / "run0"
    while sum(counts.values()) < kills or not (run / "summary.json").exists():
        resumable = (run / CHECKPOINT).exists()
        arguments = [f"resume={run}"] if resumable else [*SMALL, f"hydra.run.dir={run}"]
        writes.unlink(missing_ok=True)
        pid = child(arguments, writes, folder / "output.log")
        if sum(counts.values()) >= kills:
            way, code = None, wait(pid)
        else:
            way = min(WAYS, key=lambda way: counts[way] / WAYS[way])
            code = strike(pid, way, run, writes, span)
        faults += [f"{way}: {words}" for words in unreadable(run)]
        if code == 0 and (run / "summary.json").exists():
            finished += 1
            faults += [f"finished run {finished} differs: {words}" for words in difference(reference, run)]
            run = folder / f"run{finished}" if sum(counts.values()) < kills else run
            continue
        if way == "inside a write":
            if written(writes)[-1:] != ["begin"]:  # the write was over before the signal came
                way = "SIGKILL"
        number = signal.SIGKILL if way == "inside a write" else getattr(signal, way or "SIGKILL")
        if code != EXIT_CODES[number]:
            faults.append(f"{way}: exit code {code}, expected {EXIT_CODES[number]}")
            if way is None:
                break
        counts[way] += 1
    return {"kills": counts, "finished": finished, "faults": faults}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = kill_test(options.kills, Path(folder), options.seed)
        if result["faults"]:
            print((Path(folder) / "output.log").read_text()[-3000:], file=sys.stderr)
    print(json.dumps(result, indent=2))
    sys.exit(bool(result["faults"]))
