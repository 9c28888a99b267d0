"""ssvae on the shared samples: ours.py SAMPLES RESULTS.csv [SECONDS]. What `ssvae mi` does, without its shuffled pairs.

At equal steps: as many as the peers'. At equal wall-clock: LONGER times as many, for the peers' steps take so much
longer; early stopping may end it before.
"""

import sys
from pathlib import Path

import torch
from samples import BATCH, OWN_TASKS, RATE, RUNS, STEPS, WIDTH, Results, load

from ssvae_cli.critics import MLP, Separable
from ssvae_cli.estimators import DV, JS, MINE, NWJ, SMILE, InfoNCE
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.mi.by_critic import ByCritic
from ssvae_cli.mi.classical import KSG, GaussianCopula
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.entropies import Entropies
from ssvae_cli.mi.problem import Method, Problem
from ssvae_cli.mi.splits import Split

LONGER = 4
MAKE = {
    "infonce": InfoNCE,
    "nwj": NWJ,
    "js": JS,
    "smile": lambda: SMILE(clip=5.0),
    "mine": lambda: MINE(decay=0.99),
    "dv": DV,
}
CRITIC = {
    "separable": lambda width: Separable(latent_dim=width, hidden=[WIDTH], embedding_dim=WIDTH),
    "concat": lambda width: MLP(latent_dim=width, hidden=[WIDTH]),
}


SHARED = ("infonce", "nwj", "dv", "mine")  # with benchmark-mi, which has the concat critic alone
DENSITIES = Fit(steps=1500, batch_size=256, lr=2e-3, eval_every=50, patience=4)
UNTRAINED = {  # without a critic
    "gaussian_copula": GaussianCopula(),
    "ksg": KSG(k=3, most=10_000, most_wide=3000, widest=100),
    "entropies": Entropies(hidden=128, components=8, validation=0.15, widest=200, training=DENSITIES),
}

NAMES = {"none": UNTRAINED, "separable": MAKE, "concat": SHARED}


def posed(x, y, seed: int, critic: str) -> Problem:
    """6,000 to train on as torch-mist has, 8,000 with the concat critic, where benchmark-mi has 9,000."""
    held = 0.1 if critic == "concat" else 0.2
    return pose(x, y, Split(validation=held, test=held, at_most=2048, folds=3), seed)


def answer(estimate) -> tuple[float, str]:
    """What `ssvae mi` would print: a failure is no number."""
    failure = estimate.failure()
    return (float("nan"), failure) if failure else (estimate.value, f"+-{estimate.error:.4f}")


def by_critic(problem: Problem, *, name: str, critic: str, steps: int) -> Method:
    training = Fit(steps=steps, batch_size=BATCH, lr=RATE, eval_every=50, patience=10)
    width = max(side.shape[1] for side in problem.pairs)
    return ByCritic(lambda: CRITIC[critic](width), MAKE[name], training, width)


def estimate(problem: Problem, name: str, critic: str, steps: int):
    torch.manual_seed(problem.seed)
    method = UNTRAINED.get(name) or by_critic(problem, name=name, critic=critic, steps=steps)
    return method(problem).estimate


if __name__ == "__main__":
    samples, results = Path(sys.argv[1]), Results(*sys.argv[2:])
    torch.set_num_threads(1)
    first = [("none", 0), ("separable", STEPS), ("concat", STEPS)]
    for stages in (first, [("separable", LONGER * STEPS)]):
        for seed, tasks in RUNS:
            for critic, steps in stages:
                for task in tasks:
                    if steps > STEPS and task in OWN_TASKS:
                        continue
                    x, y, mi = load(samples, task, seed)
                    problem = posed(x, y, seed, critic)
                    line = {"library": "ssvae", "task": task, "mi": mi, "seed": seed, "critic": critic, "steps": steps}
                    for name in NAMES[critic]:
                        results.run(
                            lambda: answer(estimate(problem, name, critic, steps)),  # noqa: B023
                            estimator=name,
                            **line,
                        )
