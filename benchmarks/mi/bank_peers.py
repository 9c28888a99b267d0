"""Other programs on the bank: bank_peers.py WHICH RESULTS.csv [PARTS [NUMBERS [SEEDS]]].

WHICH: classical, in the environment of benchmark-mi (environments.sh) with npeet-plus beside it; or torch-mist, in
that of torch-mist. The same pairs as coverage.py draws. Estimators as they are: scikit-learn takes single columns
alone; NPEET adds its own noise to ties; torch-mist as in peer_torch_mist.py, columns standardised.
"""

import csv
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from late import TASKS

Peers = dict[str, Callable[[np.ndarray, np.ndarray], float]]
FIELDS = ["peer", "task", "part", "n", "seed", "exact", "value"]


def classical() -> Peers:
    """Nearest neighbours and canonical correlations."""
    import npeet_plus
    from bmi import estimators
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    def by_sklearn(x, y):
        """A label is discrete where it has at most 20 values."""
        assert x.shape[1] == y.shape[1] == 1, "single columns alone"
        few = len(np.unique(y)) <= 20
        function = mutual_info_classif if few else mutual_info_regression
        return function(x, y.ravel(), discrete_features=len(np.unique(x)) <= 20, random_state=0)[0]

    return {
        "scikit-learn": by_sklearn,
        "NPEET": lambda x, y: npeet_plus.mi(x, y, k=3),
        "benchmark-mi `ksg`": lambda x, y: estimators.KSGEnsembleFirstEstimator(neighborhoods=(5,)).estimate(x, y),
        "benchmark-mi `cca`": lambda x, y: estimators.CCAMutualInformationEstimator().estimate(x, y),
    }


def torch_mist() -> Peers:
    """Separable critics."""
    import torch
    from peer_torch_mist import estimate

    torch.set_num_threads(1)
    standardised = lambda side: ((side - side.mean(0)) / side.std(0).clip(1e-12)).astype(np.float32)
    peer = lambda name: lambda x, y: estimate(*map(standardised, (x, y)), name=name, critic="separable", seed=0)
    return {f"torch-mist `{name}`": peer(name) for name in ("infonce", "smile")}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    which, path, *rest = sys.argv[1:]
    peers = {"classical": classical, "torch-mist": torch_mist}[which]()
    parts, numbers, seeds = [*rest, *["choose,check,fresh", "500,2000,10000", "0,1,2"][len(rest) :]]
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for name, task in TASKS.items():
            if task.part not in parts.split(","):
                continue
            exact = task.exact()
            for n in map(int, numbers.split(",")):
                for seed in map(int, seeds.split(",")):
                    sides = task.draw(np.random.default_rng([seed, zlib.crc32(name.encode())]), n)
                    x, y = (np.asarray(side, dtype=float).reshape(n, -1) for side in sides)
                    for peer, estimate in peers.items():
                        try:
                            value = float(estimate(x, y))
                        except Exception:  # a peer's failure is a result
                            value = float("nan")
                        line = {"peer": peer, "task": name, "part": task.part, "n": n, "seed": seed}
                        writer.writerow(line | {"exact": exact, "value": value})
                    file.flush()
