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
from ssvae_cli.evaluation.fresh_critics import fit_and_read
from ssvae_cli.mi.classical import gaussian_copula, ksg
from ssvae_cli.mi.data import Split, cut, of_one_width
from ssvae_cli.mi.entropies import Entropies
from ssvae_cli.mi.tasks import Sample

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
UNTRAINED = {  # without a critic
    "gaussian_copula": lambda pairs, seed: gaussian_copula(pairs.whole),
    "ksg": lambda pairs, seed: ksg(pairs.whole),
    "entropies": lambda pairs, seed: by_entropies(pairs, seed),
}

NAMES = {"none": UNTRAINED, "separable": MAKE, "concat": SHARED}


def parts_of(x, y, seed: int, critic: str):
    """6,000 to train on as torch-mist has, 8,000 with the concat critic, where benchmark-mi has 9,000."""
    held = 0.1 if critic == "concat" else 0.2
    return cut(Sample(x, y, None), Split(validation=held, test=held, at_most=2048), seed)


def answer(estimate) -> tuple[float, str]:
    """What `ssvae mi` would print: a failure is no number."""
    failure = estimate.failure()
    return (float("nan"), failure) if failure else (estimate.value, f"+-{estimate.error:.4f}")


def by_critic(pairs, *, name: str, critic: str, seed: int, steps: int):
    torch.manual_seed(seed)
    width = max(side.shape[1] for side in pairs.whole)
    training = Fit(steps=steps, batch_size=BATCH, lr=RATE, eval_every=50, patience=10)
    generator = torch.Generator().manual_seed(seed)
    return fit_and_read(CRITIC[critic](width), MAKE[name](), training, of_one_width(pairs.parts), generator)[0]


def estimate(pairs, name: str, critic: str, seed: int, steps: int):
    if name in UNTRAINED:
        return UNTRAINED[name](pairs, seed)
    return by_critic(pairs, name=name, critic=critic, seed=seed, steps=steps)


def by_entropies(pairs, seed: int):
    torch.manual_seed(seed)
    training = Fit(steps=2000, batch_size=256, lr=RATE, eval_every=50, patience=5)
    return Entropies(hidden=256, components=4, training=training).fit_and_read(
        pairs.parts, torch.Generator().manual_seed(seed)
    )[0]


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
                    pairs = parts_of(x, y, seed, critic)
                    line = {"library": "ssvae", "task": task, "mi": mi, "seed": seed, "critic": critic, "steps": steps}
                    for name in NAMES[critic]:
                        results.run(
                            lambda: answer(estimate(pairs, name, critic, seed, steps)),  # noqa: B023
                            estimator=name,
                            **line,
                        )
