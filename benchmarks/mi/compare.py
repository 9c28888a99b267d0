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
            cells = [cell(errors[method].get(task, [])) for task in tasks]
            if any(cells):
                library, estimator, critic, steps = method
                name = f"{library} `{estimator}`" + (f", {critic}" if critic != "none" else "")
                text.append(f"| {name}{f', {steps} steps' if steps > STEPS else ''} | " + " | ".join(cells) + " |")
        text.append("")
    text += [*shared(errors), "", *best(errors)]
    (HERE / "table.md").write_text("\n".join(text))
    print(*text, sep="\n")


def shared(errors) -> list[str]:
    """Each estimator that ssvae shares with a peer, of the same critic and steps: on how many tasks its error is larger
    by more than two standard errors of the difference; a failure counts as an infinite error."""
    text = ["| shared estimator | tasks | ssvae nearer | within two standard errors | peer nearer |", "|---" * 5 + "|"]
    for peer in list(SCRIPTS)[1:]:
        for library, estimator, critic, steps in sorted(errors):
            ours = errors.get(("ssvae", estimator, critic, steps), {})
            theirs = errors[library, estimator, critic, steps]
            if library != peer or not ours:
                continue
            counts = {"ours": 0, "even": 0, "theirs": []}
            for task in ours.keys() & theirs.keys():
                (a, a_error), (b, b_error) = size(ours[task]), size(theirs[task])
                gap = 2 * (a_error**2 + b_error**2) ** 0.5
                if b - a > gap or b == float("inf") > a:
                    counts["ours"] += 1
                elif a - b > gap:
                    counts["theirs"].append(task)
                else:
                    counts["even"] += 1
            far = ", ".join(counts["theirs"]) or 0
            row = f"| {peer} `{estimator}`, {critic} | {len(ours.keys() & theirs.keys())} | {counts['ours']} | "
            text.append(row + f"{counts['even']} | {far} |")
    return text


def best(errors) -> list[str]:
    """The smallest mean error of ssvae and of all peers on each Gaussian and cubed task, chosen with I known."""
    text = ["| task | ssvae's best | the peers' best |", "|---|---|---|"]
    for task in sorted(GAUSSIAN_TASKS, key=lambda t: (t[0] == "c", int(t.split("-")[1]))):
        sides = {True: [], False: []}
        for (library, estimator, _, steps), tasks in errors.items():
            if task in tasks and steps <= STEPS:
                sides[library == "ssvae"].append((size(tasks[task])[0], f"{library} `{estimator}`"))
        cells = [f"{min(side)[0]:.2f}, {min(side)[1]}" if side else "" for side in (sides[True], sides[False])]
        text.append(f"| {task} | " + " | ".join(cells) + " |")
    return text


def size(errors: list[float]) -> tuple[float, float]:
    """(mean absolute error, its standard error over seeds); infinite where a run failed."""
    sizes = [abs(e) if e == e else float("inf") for e in errors]
    if float("inf") in sizes:
        return float("inf"), 0.0
    return mean(sizes), stdev(sizes) / len(sizes) ** 0.5 if len(sizes) > 1 else 0.0


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
