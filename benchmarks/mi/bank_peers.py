"""Other programs on the bank: bank_peers.py RESULTS.csv [HALVES [NUMBERS [SEEDS]]], in an environment of its own.

benchmark-mi (environments.sh), and npeet-plus beside it. The same pairs as coverage.py draws. Estimators as they are:
scikit-learn takes single columns alone; NPEET adds its own noise to ties.
"""

import csv
import sys
import warnings
import zlib
from pathlib import Path

import npeet_plus
import numpy as np
from bank import TASKS
from bmi import estimators
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

FIELDS = ["peer", "task", "half", "n", "seed", "exact", "value"]


def by_sklearn(x, y):
    """Nearest neighbours; a label is discrete where it has at most 20 values."""
    assert x.shape[1] == y.shape[1] == 1, "single columns alone"
    few = len(np.unique(y)) <= 20
    function = mutual_info_classif if few else mutual_info_regression
    return function(x, y.ravel(), discrete_features=len(np.unique(x)) <= 20, random_state=0)[0]


PEERS = {
    "scikit-learn": by_sklearn,
    "NPEET": lambda x, y: npeet_plus.mi(x, y, k=3),
    "benchmark-mi `ksg`": lambda x, y: estimators.KSGEnsembleFirstEstimator(neighborhoods=(5,)).estimate(x, y),
    "benchmark-mi `cca`": lambda x, y: estimators.CCAMutualInformationEstimator().estimate(x, y),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    path, *rest = sys.argv[1:]
    halves, numbers, seeds = [*rest, *["choose,check,fresh", "500,2000,10000", "0,1,2"][len(rest) :]]
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for name, task in TASKS.items():
            if task.half not in halves.split(","):
                continue
            exact = task.exact()
            for n in map(int, numbers.split(",")):
                for seed in map(int, seeds.split(",")):
                    sides = task.draw(np.random.default_rng([seed, zlib.crc32(name.encode())]), n)
                    x, y = (np.asarray(side, dtype=float).reshape(n, -1) for side in sides)
                    for peer, estimate in PEERS.items():
                        try:
                            value = float(estimate(x, y))
                        except Exception:  # a peer's failure is a result
                            value = float("nan")
                        line = {"peer": peer, "task": name, "half": task.half, "n": n, "seed": seed}
                        writer.writerow(line | {"exact": exact, "value": value})
                    file.flush()
