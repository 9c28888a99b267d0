"""The driver: compare.py run FOLDER | table FOLDER | speed FOLDER.

FOLDER holds the peers' environments (environments.sh FOLDER/peers), the samples and the results. `run` goes on where it
stopped, a single-thread process a library, one after another; `table` writes results.csv and table.md beside this file;
`speed` times the training steps of all, one library after another, and writes speed.csv.
"""

import csv
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

from samples import FIELDS, GAUSSIAN_TASKS, OWN_TASKS, STEPS, write_gaussian

HERE = Path(__file__).parent
SCRIPTS = {"ssvae": "ours.py", "torch-mist": "peer_torch_mist.py", "benchmark-mi": "peer_benchmark_mi.py"}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def python(folder: Path, library: str) -> str:
    return sys.executable if library == "ssvae" else str(folder / "peers" / library / "bin" / "python")


def call(folder: Path, library: str, *arguments: str) -> None:
    command = [python(folder, library), str(HERE / SCRIPTS[library]), *arguments]
    subprocess.run(command, check=True, env=os.environ | ONE_THREAD)


def run(folder: Path) -> None:
    samples = folder / "samples"
    write_gaussian(samples)
    call(folder, "benchmark-mi", str(samples))
    for library in SCRIPTS:
        call(folder, library, str(samples), str(folder / f"{library}.csv"))


def speed(folder: Path) -> None:
    """Steps a second of each library, its estimators and critics: the difference of a long and a short training."""
    lines = []
    for library in SCRIPTS:
        done = subprocess.run(
            [python(folder, library), str(HERE / "speed.py"), library, str(folder / "samples")],
            check=True,
            env=os.environ | ONE_THREAD,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines += [line for line in done.stdout.splitlines() if line.startswith(library)]
    (HERE / "speed.csv").write_text("library,estimator,critic,steps_per_second\n" + "\n".join(lines) + "\n")
    print(*lines, sep="\n")


def table(folder: Path) -> None:
    lines = {}
    for library in SCRIPTS:
        with (folder / f"{library}.csv").open() as file:
            for line in csv.DictReader(file):
                lines[tuple(line[k] for k in FIELDS[:7])] = line
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(lines.values())
    errors = defaultdict(lambda: defaultdict(list))  # method -> task -> [estimate - I, or NaN where it failed]
    for line in lines.values():
        method = (line["library"], line["estimator"], line["critic"], int(line["steps"]))
        errors[method][line["task"]].append(float(line["estimate"]) - float(line["mi"]))
    text = []
    for tasks in (sorted(GAUSSIAN_TASKS, key=lambda t: (t[0] == "c", int(t.split("-")[1]))), OWN_TASKS):
        text += ["| | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
        for method in sorted(errors, key=lambda m: (list(SCRIPTS).index(m[0]), m[3] > STEPS, m[2], m[1])):
            cells = [cell(errors[method][task]) for task in tasks]
            if any(cells):
                library, estimator, critic, steps = method
                name = f"{library} `{estimator}`" + (f", {critic}" if critic != "none" else "")
                text.append(f"| {name}{f', {steps} steps' if steps > STEPS else ''} | " + " | ".join(cells) + " |")
        text.append("")
    (HERE / "table.md").write_text("\n".join(text))
    print(*text, sep="\n")


def cell(errors: list[float]) -> str:
    """Mean absolute error with the sign of the bias and its standard error; how many failed; how many seeds."""
    stood = [e for e in errors if e == e and abs(e) < float("inf")]
    failed = f"{len(errors) - len(stood)} failed" if len(stood) < len(errors) else ""
    if not stood:
        return failed
    size = mean(map(abs, stood))
    sign = "+" if mean(stood) > 0 else "-"
    shown = f"{sign}{size:.2f}" if size < 100 else f"{sign}{size:.0e}"
    if len(stood) > 1:
        error = stdev(map(abs, stood)) / len(stood) ** 0.5
        shown += f" ({error:.2f})" if error < 100 else f" ({error:.0e})"
    return " ".join(filter(None, [shown, failed]))


if __name__ == "__main__":
    {"run": run, "table": table, "speed": speed}[sys.argv[1]](Path(sys.argv[2]))
