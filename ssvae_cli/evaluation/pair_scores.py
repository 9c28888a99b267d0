"""The score of a pair, log P(z, z') / (Q(z) Q(z')): what Eq. 19 says of log P(x, x') / (P_true(x) P_true(x'))."""

import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import Simplex
from ssvae_cli.evaluation.categories import Categories
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.tracking.missing import Missing

MARGINALS = 4096  # views of train, at most, that stand for Q(z) and Q(z')


@torch.no_grad()
def pair_scores(reading: Reading, split: str) -> Tensor | Missing:
    """The score of a pair of views of each x of a split, [N], nats; of an unstructured prior log P(z) / Q(z).

    Under a prior of scores it is log f less its log partition over latents of train; under an explicit one log Q is
    that of densities fitted to train. Missing where these cannot be had. A deterministic encoder's is exact (Eq. 19).
    """
    prior = reading.objective.prior
    if prior.no_elbo:
        return Missing(prior.no_elbo)
    if prior.space is Simplex:
        categories = _categories(reading)
        of_pairs = lambda latents: categories.scores(*latents)
    elif prior.needs_densities:
        explicit = reading.explicit()
        if isinstance(explicit, Missing):
            return explicit
        of_pairs = explicit.log_ratio_to_marginals
    else:
        views = reading.latents("train", 1, MARGINALS)
        of_pairs = lambda latents: prior.pair_scores(latents, views)
    encoded = reading.encoded(reading.data.splits[split], reading.generator(split))
    return torch.cat([of_pairs(batch.latents) for batch, _ in encoded])


@torch.no_grad()
def table(reading: Reading, split: str, at_most: int) -> Tensor | Missing | None:
    """The scores of all combinations of z and z' of at most so many x of a split, [n, n], as of `pair_scores`; None
    where there is no z'."""
    prior, latents = reading.objective.prior, reading.latents(split, 1, at_most)
    if len(latents) != 2:
        return None
    if prior.no_elbo:
        return Missing(prior.no_elbo)
    if prior.space is Simplex:
        return _categories(reading).score_table(*latents)
    if not prior.needs_densities:
        return prior.pair_table(latents, reading.latents("train", 1, MARGINALS))
    explicit = reading.explicit()
    return explicit if isinstance(explicit, Missing) else explicit.table(latents)


def _categories(reading: Reading) -> Categories:
    """A prior of categories, next to the one in training."""
    return Categories(reading.objective.prior, reading.latents("train", 1, MARGINALS))
