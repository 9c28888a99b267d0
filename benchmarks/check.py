"""`make bench-check`: what the program costs, as ratios within one run, each held to a limit; never absolute times.

A ratio is the median over rounds in which its two sides take turns, by processor time on one thread, so that other work
on the machine hardly counts; `busy` alone goes by the clock, and needs two cores that are otherwise idle.

usage: check.py [NAME ...]         measure all groups, or some; exit code 1 if a ratio is beyond its limit
       check.py --measure NAME     one group, as a line of JSON
"""

import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
Ratios = dict[str, float]

# What each group measures, and the limit of each ratio: at most so much, or at least where it is negative.
LIMITS: dict[str, Ratios] = {
    "startup": {
        "a refused type / import torch": 0.4,
        "a refused range / import torch": 0.5,
        "a refused estimator / import torch": 2.0,
        "first step / import torch": 1.7,
    },
    "evaluation": {"evaluation / training, 30 epochs of digits": 1.4},
    "explicit": {"evaluation / training, prior=gaussian": 3.4},
    "probe": {"lbfgs / linear probe": -1.2},
    "views": {"torchvision / two views": -6.0},
    "mi": {"first value / neighbours of all pairs": 3.0},
    "busy": {"a step beside a busy process / alone": 2.2},
    "steps": {
        "step / limit, digits": 1.2,
        "step / limit, photographs": 1.2,
        "step / limit, scores in tiles": 2.5,
    },
}

FIRST_STEP = """
import os, sys
from ssvae_cli.cli import job, main
def call(*arguments):
    from ssvae_cli.optimizers import Optimization
    Optimization.step = lambda self, at: os._exit(0)
    called(*arguments)
called, job.call = job.call, call
main.run(sys.argv[1:])
"""


def medians(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each side, in turns."""
    rows = [{name: side() for name, side in sides.items()} for _ in range(rounds)]
    return {name: statistics.median(row[name] for row in rows) for name in sides}


def processor(call: Callable[[], object]) -> float:
    """Seconds of this process and of those that it waits for."""
    before = os.times()
    call()
    return sum(os.times()[:4]) - sum(before[:4])


def python(*words: str, codes: tuple[int, ...] = (0,)) -> float:
    """Processor seconds of a Python process, which ends with one of the codes."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    ended = []
    with tempfile.TemporaryDirectory() as folder:
        seconds = processor(lambda: ended.append(subprocess.run([sys.executable, *words], cwd=folder, **options)))
    if ended[0].returncode not in codes:
        sys.exit(f"{' '.join(words)}: {ended[0].stderr}")
    return seconds


def startup() -> Ratios:
    refused = lambda *words: lambda: python("-m", "ssvae_cli", "train", *words, codes=(2,))
    sides = {
        "torch": lambda: python("-c", "import torch"),
        "a refused type": refused("trainer.epochs=x"),
        "a refused range": refused("trainer.epochs=-1"),
        "a refused estimator": refused("estimator=analytic"),
        "first step": lambda: python("-c", FIRST_STEP, "train"),
    }
    found = medians(sides, 3)
    return {f"{name} / import torch": seconds / found["torch"] for name, seconds in found.items() if name != "torch"}


def evaluation_of(*overrides: str) -> float:
    """Of one run of 120 steps by AdamW: all but training, start-up left out, over training."""
    from ssvae_cli.cli import main
    from ssvae_cli.training.state import TrainState

    seconds, began = {"training": 0.0}, []
    shuffle, end_epoch = TrainState.shuffle, TrainState.end_epoch

    def begin(self, *arguments):
        began.append(time.process_time())
        return shuffle(self, *arguments)

    def end(self):
        seconds["training"] += time.process_time() - began[-1]
        end_epoch(self)

    TrainState.shuffle, TrainState.end_epoch = begin, end
    with tempfile.TemporaryDirectory() as folder:
        slow = ["optimizer=adamw", "trainer=default", "hydra/job_logging=disabled", f"hydra.run.dir={folder}/run"]
        main.run(["train", *slow, *overrides])
    return (time.process_time() - began[0]) / seconds["training"] - 1


def evaluation() -> Ratios:
    return {"evaluation / training, 30 epochs of digits": evaluation_of()}


def explicit() -> Ratios:
    return {"evaluation / training, prior=gaussian": evaluation_of("prior=gaussian")}


def script(name: str) -> ModuleType:
    """Another benchmark, as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, HERE / name)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def probe() -> Ratios:
    import torch

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 128, generator=generator)

    def labelled(count: int):
        y = torch.randint(10, (count,), generator=generator)
        return 0.5 * centres[y] + torch.randn(count, 128, generator=generator), y

    rounds = script("evaluation/probe.py").in_turns(labelled(5000), labelled(1000), labelled(1000), rounds=3)
    return {"lbfgs / linear probe": statistics.median(theirs / ours for (ours, _), (theirs, _) in rounds)}


def views() -> Ratios:
    import torch

    module = script("pairs/views.py")
    x = torch.randint(0, 256, (256, 3, 32, 32), dtype=torch.uint8)
    theirs, ours = module.torchvision(x, False), module.ours(x, False)
    sides = {"theirs": lambda: processor(theirs), "ours": lambda: processor(ours)}
    medians(sides, 1)  # loads libraries
    found = medians(sides, 5)
    return {"torchvision / two views": found["theirs"] / found["ours"]}


def mi() -> Ratios:
    import numpy as np
    from scipy.spatial import cKDTree

    from ssvae_cli.cli import main
    from ssvae_cli.mi import report

    pairs = np.random.default_rng(0).normal(size=(20_000, 10))
    neighbours = lambda: cKDTree(pairs).query(pairs, k=4, p=np.inf)

    class Said(BaseException):
        pass

    def said(*arguments):
        raise Said

    def first_value() -> None:
        with tempfile.TemporaryDirectory() as folder:
            sizes = ["task.dim=5", "task.samples=20000", f"hydra.run.dir={folder}/mi"]
            try:
                main.run(["mi", *sizes])
            except Said:
                pass

    report.said = said
    of_neighbours = statistics.median(processor(neighbours) for _ in range(3))
    return {"first value / neighbours of all pairs": processor(first_value) / of_neighbours}


def busy() -> Ratios:
    """By the clock, with all threads; a second process is stopped and goes on in turns."""
    from ssvae_cli.distributed.threads import set_count, set_wait

    set_wait()
    set_count()
    import torch
    from torch import nn

    from ssvae_cli.device import keep_freed

    keep_freed(torch.device("cpu"))
    network = nn.Sequential(*(nn.Conv2d(c, 64, 3, padding=1) for c in (1, 64, 64)), nn.Flatten(), nn.Linear(64 * 64, 8))
    images = torch.randn(256, 1, 8, 8)

    def steps() -> float:
        began = time.perf_counter()
        for _ in range(20):
            network(images).square().mean().backward()
        return time.perf_counter() - began

    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def beside() -> float:
        other.send_signal(signal.SIGCONT)
        try:
            return steps()
        finally:
            other.send_signal(signal.SIGSTOP)

    try:
        other.send_signal(signal.SIGSTOP)
        steps()
        found = medians({"beside": beside, "alone": steps}, 9)
        return {"a step beside a busy process / alone": found["beside"] / found["alone"]}
    finally:
        other.kill()


def steps() -> Ratios:
    configurations = {
        "digits": [],
        "photographs": ["dataset=sprites", "pairs=simclr", "pairs.size=32", "trainer.batch_size=128"],
        "scores in tiles": ["encoder=mlp", "trainer.batch_size=4608"],
    }
    found = {}
    for name, overrides in configurations.items():
        with tempfile.TemporaryDirectory() as folder:
            short = ["trainer.device=cpu", "bench.rounds=5", "bench.seconds=0.3", f"hydra.run.dir={folder}/bench"]
            python("-m", "ssvae_cli", "bench", *overrides, *short)
            shares = json.loads((Path(folder) / "bench" / "bench.json").read_text())
        found[f"step / limit, {name}"] = 1 / shares["step/share_of_limit"]
    return found


def measured(group: str) -> Ratios:
    """The ratios of a group, in a process of its own."""
    threads = {} if group == "busy" else {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", group]
    ended = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{group}: {ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1])


def beyond(found: float, limit: float) -> str:
    """What is wrong with a ratio, in words; "" where nothing is."""
    kind = "at most" if limit > 0 else "at least"
    wrong = found > limit if limit > 0 else found < -limit
    return f"is {found:.2f}, and must be {kind} {abs(limit):g}" if wrong else ""


def main(words: list[str]) -> int:
    if words[:1] == ["--measure"]:
        print(json.dumps(globals()[words[1]]()))
        return 0
    failed = []
    for group in words or LIMITS:
        began = time.monotonic()
        for name, found in measured(group).items():
            limit = LIMITS[group][name]
            print(f"{name:45} {found:8.2f}   limit {abs(limit):g}{' at least' * (limit < 0)}", flush=True)
            if wrong := beyond(found, limit):
                failed.append(f"bench-check: {name} {wrong}")
        print(f"{'':45} {time.monotonic() - began:8.0f} s", flush=True)
    print(*failed, sep="\n", end="\n" * bool(failed), file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
