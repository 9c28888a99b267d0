"""benchmark-mi on the shared samples: peer_benchmark_mi.py SAMPLES RESULTS.csv [SECONDS].

With SAMPLES alone, it writes its own tasks' samples.

Its estimators as they are: standardised data, the best of the values read on its held-out part. It has a concat critic
alone; `cca` and `ksg` have none, the latter with its first number of neighbours.
"""

import sys
from pathlib import Path

from bmi import estimators
from bmi.benchmark import BENCHMARK_TASKS
from samples import BATCH, OWN_TASKS, PAIRS, RATE, RUNS, SEEDS, STEPS, WIDTH, Results, load, save

NAMES = {
    "infonce": estimators.InfoNCEEstimator,
    "dv": estimators.DonskerVaradhanEstimator,
    "mine": estimators.MINEEstimator,
    "nwj": estimators.NWJEstimator,
}

UNTRAINED = {
    "cca": lambda: estimators.CCAMutualInformationEstimator(),
    "ksg": lambda: estimators.KSGEnsembleFirstEstimator(neighborhoods=(5,)),
}


def estimate(x, y, *, name: str, seed: int, steps: int = STEPS) -> float:
    if name in UNTRAINED:
        return UNTRAINED[name]().estimate(x, y)
    return NAMES[name](
        batch_size=BATCH,
        max_n_steps=steps,
        learning_rate=RATE,
        hidden_layers=[WIDTH],
        train_test_split=0.9,
        verbose=False,
        seed=seed,
    ).estimate(x, y)


if __name__ == "__main__":
    samples = Path(sys.argv[1])
    if len(sys.argv) == 2:
        for task in OWN_TASKS:
            for seed in SEEDS:
                x, y = BENCHMARK_TASKS[task].sample(PAIRS, seed=1000 + seed)
                save(samples, task, seed, BENCHMARK_TASKS[task].mutual_information, x, y)
        sys.exit()
    results = Results(*sys.argv[2:])
    for names, critic, steps in ((NAMES, "concat", STEPS), (UNTRAINED, "none", 0)):
        for seed, tasks in RUNS:
            for task in tasks:
                x, y, mi = load(samples, task, seed)
                for name in names:
                    line = {"library": "benchmark-mi", "task": task, "mi": mi, "seed": seed, "estimator": name}
                    line |= {"critic": critic, "steps": steps}
                    results.run(lambda: float(estimate(x, y, name=name, seed=seed)), **line)  # noqa: B023
