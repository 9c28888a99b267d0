"""Where the samples lie and how results are kept: what the driver and the peers' scripts share. numpy alone."""

import csv
import sys
import time
from pathlib import Path

import numpy as np

PAIRS, DIM, SEEDS = 10_000, 20, range(5)
STEPS, BATCH, RATE, WIDTH = 500, 64, 1e-3, 256  # of everyone's critics; Adam
OWN_TASKS = [  # of benchmark-mi's list
    "1v1-additive-0.1",
    "wiggly-1v1-normal-0.75",
    "student-identity-1-1-1",
    "swissroll_x-normal_cdf-1v1-normal-0.75",
    "multinormal-dense-5-5-0.5",
    "student-identity-3-3-2",
    "half_cube-multinormal-sparse-5-5-2-2.0",
    "spiral-multinormal-sparse-3-3-2-2.0",
]
GAUSSIAN_TASKS = [f"{kind}-{mi}" for mi in (2, 6, 10, 4, 8) for kind in ("gaussian", "cubic")]
# (seed, tasks), the order in which everyone runs them.
RUNS = [(seed, tasks) for tasks in ([*GAUSSIAN_TASKS[:6], *OWN_TASKS], GAUSSIAN_TASKS[6:]) for seed in SEEDS]
FIELDS = ["library", "task", "mi", "seed", "critic", "estimator", "steps", "estimate", "seconds", "note"]


def write_gaussian(folder: Path) -> None:
    """20 pairs of standard normals, correlated so that their MI is that of the task's name; cubed or as they are."""
    for task in GAUSSIAN_TASKS:
        kind, mi = task.split("-")
        rho = np.sqrt(-np.expm1(-2 * float(mi) / DIM))
        for seed in SEEDS:
            rng = np.random.default_rng(1000 + seed)
            x, noise = rng.standard_normal((2, PAIRS, DIM))
            y = rho * x + np.sqrt(1 - rho**2) * noise
            save(folder, task, seed, float(mi), *((x**3, y**3) if kind == "cubic" else (x, y)))


def save(folder: Path, task: str, seed: int, mi: float, x, y) -> None:
    path = folder / f"{task}--{seed}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=np.float32(x), y=np.float32(y), mi=mi)


def load(folder: Path, task: str, seed: int):
    """(x: [N, dx], y: [N, dy], I in nats)."""
    with np.load(folder / f"{task}--{seed}.npz") as arrays:
        return arrays["x"], arrays["y"], float(arrays["mi"])


class Results:
    """A CSV of results, a line a run; what it already holds is not run again.

    seconds: after so many, the process ends with exit code 75 before it begins another run; call it again to go on.
    """

    def __init__(self, path: str, seconds: str = "inf"):
        self.path, self.until = Path(path), time.monotonic() + float(seconds)
        path = self.path
        if not path.exists():
            path.write_text(",".join(FIELDS) + "\n")
        with path.open() as file:
            self.done = {tuple(line[k] for k in FIELDS[:7] if k != "mi") for line in csv.DictReader(file)}

    def run(self, estimate, **line) -> None:
        """estimate() -> nats, or (nats, note); an exception is the run's failure, and noted."""
        if tuple(str(line[k]) for k in FIELDS[:7] if k != "mi") in self.done:
            return
        if time.monotonic() > self.until:
            sys.exit(75)
        began = time.perf_counter()
        try:
            answer = estimate()
            value, note = answer if isinstance(answer, tuple) else (answer, "")
        except Exception as error:  # a peer's failure is a result
            value, note = float("nan"), f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
        line |= {"estimate": value, "seconds": round(time.perf_counter() - began, 3), "note": note}
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(line)
