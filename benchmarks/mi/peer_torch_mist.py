"""torch-mist on the shared samples: peer_torch_mist.py SAMPLES RESULTS.csv [SECONDS]. Runs in its own environment.

Its own estimate_mi, its early stopping and best weights by validation, its way of reading on test (batches of 64);
all of a batch for negatives, where most of its estimators default to one.
"""

import sys
from pathlib import Path

import torch
from samples import BATCH, OWN_TASKS, RATE, RUNS, STEPS, WIDTH, Results, load
from torch_mist import estimators
from torch_mist.utils import estimate_mi

NAMES = ("infonce", "nwj", "js", "smile", "mine")
HIDDEN = {"separable": [WIDTH, WIDTH], "joint": [WIDTH]}  # separable: the last is the width of the product
HELD = {"separable": 0.2, "joint": 0.1}  # the parts to stop by and to read on, as for ssvae


def estimate(x, y, *, name: str, critic: str, seed: int, steps: int = STEPS) -> float:
    torch.manual_seed(seed)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    make = getattr(estimators, name)
    estimator = make(
        x_dim=x.shape[1],
        y_dim=y.shape[1],
        hidden_dims=HIDDEN[critic],
        critic_type=critic,
        neg_samples=0 if name == "infonce" else -1,
    )
    rows = torch.randperm(len(x))
    held = int(HELD[critic] * len(x))
    train, validation, test = rows.split([len(x) - 2 * held, held, held])
    return estimate_mi(
        data={"x": x[train], "y": y[train]},
        valid_data={"x": x[validation], "y": y[validation]},
        test_data={"x": x[test], "y": y[test]},
        estimator=estimator,
        valid_percentage=0,
        batch_size=BATCH,
        max_iterations=steps,
        optimizer_params={"lr": RATE},
        early_stopping=True,
        patience=3,
        fast_train=True,
        verbose=False,
        logger=False,
    )


if __name__ == "__main__":
    samples, results = Path(sys.argv[1]), Results(*sys.argv[2:])
    torch.set_num_threads(1)
    for critic in HIDDEN:
        for seed, tasks in RUNS:
            for task in tasks:
                if critic == "joint" and task in OWN_TASKS:
                    continue
                x, y, mi = load(samples, task, seed)
                for name in NAMES:
                    line = {"library": "torch-mist", "task": task, "mi": mi, "seed": seed, "estimator": name}
                    line |= {"critic": {"joint": "concat"}.get(critic, critic), "steps": STEPS}
                    results.run(lambda: estimate(x, y, name=name, critic=critic, seed=seed), **line)  # noqa: B023
