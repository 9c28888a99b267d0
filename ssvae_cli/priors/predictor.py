"""The predictor: each latent is normal about a prediction from those before it."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.encoders.posteriors import Normal
from ssvae_cli.errors import require_above
from ssvae_cli.priors.sequential import SequentialPrior

WIDEST = 3.0  # a predicted log std lies within this of that of `std`


class Predictor(SequentialPrior):
    """P(z'|z) = N(mu(z), diag(std)^2), the density whose log is the loss of predictive methods up to its normaliser.

    mean: makes mu, which sees the last latent, or all before (a GRU). noise: the std are fixed, learned, or predicted
    by the network of mu. std: their value, where learned or predicted the initial one. steps: `chain`, z_i is predicted
    from z_1..z_(i-1) by one mu; `ahead`, each from z_1 alone by its own mu and std, the W_k of van den Oord et al.
    2018.
    """

    law = ("noise",)
    fixed_by = {"noise": ["fixed", "predicted"]}
    of_further_views = {"steps": "ahead"}

    def __init__(
        self,
        *,
        latent_dim: int,
        mean: Callable[..., nn.Module],
        noise: Literal["fixed", "learned", "predicted"],
        std: float,
        steps: Literal["chain", "ahead"],
        views: int = 2,
        **common,
    ):
        super().__init__(views=views, **common)
        require_above(0, std=std)
        self.predicted, self.steps = noise == "predicted", steps
        count = views - 1 if steps == "ahead" else 1
        outputs = 2 * latent_dim if self.predicted else latent_dim
        self.means = nn.ModuleList(mean(inputs=latent_dim, outputs=outputs) for _ in range(count))
        start = torch.full((count, latent_dim), math.log(std))
        self.log_std = nn.Parameter(start, requires_grad=noise == "learned")

    @property
    def noise(self) -> Tensor:
        """The std in each dimension, their mean over the steps ahead, [D]; where predicted, about which they lie."""
        return self.log_std.exp().mean(0)

    def own_parameters(self):
        return [self.log_std]

    def following(self, before):
        step, seen = (len(before) - 1, before[:1]) if self.steps == "ahead" else (0, before)
        output, log_std = self.means[step](torch.stack(seen, 1)), self.log_std[step]
        if not self.predicted:
            return Normal(output, log_std.expand_as(output))
        mean, raw = output.chunk(2, 1)
        return Normal(mean, log_std + WIDEST * torch.tanh(raw / WIDEST))
