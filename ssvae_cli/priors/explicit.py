"""Priors with a density."""

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ssvae_cli.device import dtype_name
from ssvae_cli.distributed.collectives import all_gather, all_gather_encoded, own_rows
from ssvae_cli.distributions.posterior import Joined, Posterior
from ssvae_cli.distributions.products import join, power
from ssvae_cli.distributions.spaces import Space
from ssvae_cli.errors import PartError, require
from ssvae_cli.estimators.base import require_gradient, straight_through
from ssvae_cli.instantiate.read_only import read_only
from ssvae_cli.priors.base import Encoded, NoSamples, Prior

Marginal = Literal["own", "encoder"] | float
Block = tuple[int, ...]  # of latents: (0,) is z or z_1, (0, 1) the pair
AT_ONCE = 2**26  # numbers of a table of pairs, over all coordinates, that are computed and kept at once


class ExplicitPrior(Prior):
    """A prior with a density. The ELBO is E log P(z_1..z_n) plus entropies of Q, which are estimated: H(z_i) of each
    view (Eq. 17), or H(z_1..z_n) with a joint decoder, whose ELBO is -KL(Q || P) (Eq. 9 with all views as one x).

    marginal: `own`, P(z_1) as the prior writes it; `encoder`, P(z_1) = Q(z_1) as in Eq. 26, so that the conditional
    alone is explicit and H(z_1) falls out: of a pair the ELBO is E log P(z'|z) + H(z') = I - E KL(Q(z'|z) || P(z'|z)).
    A number from 0 to 1: `own`, of whose ELBO the gradient takes that share, and the rest of that of `encoder`: so it
    weighs KL(Q(z_1) || P(z_1)), whose H(z_1) an encoder can exploit where it is known from few samples.
    """

    quantity = "entropy"
    needs_densities = True
    law = ()  # the names of the properties, [] or [D], that `described` gives
    fixed_by = {}  # values of settings under which `own_parameters` has none to learn; no setting: it always has

    def __init__(self, *, marginal: Marginal = "own"):
        super().__init__()
        if not isinstance(marginal, str):
            require(0 <= marginal <= 1, f"marginal must be own, encoder or a number from 0 to 1, got {marginal}")
        self.marginal = marginal

    @abstractmethod
    def log_prob(self, *latents: Tensor) -> Tensor:
        """log P(z, z'), [B, D] each -> [B], nats; of n latents; log P(z) of an unstructured prior."""

    def log_prob_of_dimensions(self, *latents: Tensor) -> Tensor | None:
        """log P(z_d, z'_d) of each coordinate, [B, D] each -> [B, D], nats; None where P is no product over them."""
        return None

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor | None:
        """log P of one latent, z for side 0, z' for side 1: [B, D] -> [B], nats; None where it has no closed form."""
        return None

    def log_conditional(self, z: Tensor, *others: Tensor) -> Tensor:
        """log P(z'|z), of n latents log P(z_2..z_n|z_1), [B, D] each -> [B], nats. Raises PartError where P(z) has no
        closed form."""
        return self.log_prob(z, *others) - self._known_marginal(z)

    def _known_marginal(self, z: Tensor) -> Tensor:
        """log P(z), [B]. Raises PartError where it has no closed form."""
        of_z = self.log_marginal(z)
        if of_z is None:
            raise PartError(f"prior: {type(self).__name__} has no log_marginal, from which P(z'|z) follows")
        return of_z

    def log_given(self, latents: tuple[Tensor, ...], side: int) -> Tensor:
        """log of a density of each latent of one side given each row of the others, [N, D] and [M, D]: log P(z'_i|z_j),
        [M, N], of side 1; log P(z_i|z'_j), [N, M], of side 0, or where it has no closed form the forward conditional
        with its sides exchanged, which is a density of z too."""
        z, z_prime = latents
        if side == 1:
            return self.log_conditional(z, z_prime[:, None])
        of_z_prime = self.log_marginal(z_prime, side=1)
        if of_z_prime is None:
            return self.log_conditional(z_prime, z[:, None])
        return self.log_prob(z[:, None], z_prime) - of_z_prime

    def log_mixture(self, latents: tuple[Tensor, ...], side: int) -> tuple[Tensor, Tensor]:
        """The own and the other part of the mixture of conditionals, of side 0: log P(z_i|z'_i), and the log of the
        mean of P(z_i|z'_j) over all j != i, [B] each, nats; of side 1 of z'_i given z; of n latents, given all others
        of row j. A batch of one has no others: its own part stands in their place.

        Each process computes the table of its own rows. One too large to be kept is computed in parts, again for the
        gradient."""
        own, others = latents[side], [*latents[:side], *latents[side + 1 :]]
        place = torch.arange(len(own), device=own.device)
        rows = max(1, AT_ONCE // sum(other.numel() for other in others))
        own, of_own = own_rows(own), own_rows(place)

        def of_rows(own: Tensor, of_own: Tensor, *others: Tensor) -> Tensor:
            return own_and_rest(self.log_given((*others[:side], own, *others[side:]), side), of_own)

        if rows >= len(own):
            return all_gather(of_rows(own, of_own, *others)).unbind(1)
        parts = zip(own.split(rows), of_own.split(rows))
        mixtures = [checkpoint(of_rows, *part, *others, use_reentrant=False) for part in parts]
        return all_gather(torch.cat(mixtures)).unbind(1)

    def log_mixtures(self, latents: tuple[Tensor, ...]) -> Callable[[int], tuple[Tensor, Tensor]]:
        """`log_mixture` of a batch, by side: a prior may compute once what serves both."""
        return partial(self.log_mixture, latents)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """`count` samples of (z, z'), [count, dim] each; of n latents; of (z,) for an unstructured prior."""
        raise NoSamples

    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A sample of P(z'|z) for every z, [N, D]; of n latents the others joined, [N, (n - 1) D]."""
        raise NoSamples

    def entropies(self, joint: bool) -> dict[Block, int]:
        """The blocks of latents whose entropies the ELBO contains, each with its sign."""
        views = tuple(range(self.views))
        signs = {views: 1} if joint else {(view,): 1 for view in views}
        if self.marginal == "encoder":
            signs[views[:1]] = signs.get(views[:1], 0) - 1
        return {block: sign for block, sign in signs.items() if sign}

    def log_density(self, latents: tuple[Tensor, ...]) -> Tensor:
        """What the ELBO contains of P, [B]: log P(z_1..z_n), or log P(z_2..z_n|z_1) where P(z_1) = Q(z_1)."""
        return self.log_conditional(*latents) if self.marginal == "encoder" else self.log_prob(*latents)

    @torch.no_grad()
    def require_promised(self, latent_dim):
        random = torch.Generator().manual_seed(0)
        counts = (3, 2) if latent_dim > 3 else (5, 4)  # none is the number of coordinates, which might take its place
        latents = tuple(self.space.project(torch.randn(count, latent_dim, generator=random)) for count in counts)
        z, shapes = latents[0], [list(side.shape) for side in latents]
        marginals = [self.log_marginal(z, side=side) for side in range(min(self.views, 2))]
        for of_z in (of_z for of_z in marginals if of_z is not None):
            self._require_shape(of_z, shapes[0][:1], f"log_marginal of z, {shapes[0]}", "log P of z is one number")
        if self.views == 2 and marginals[0] is not None:
            for side, wanted in enumerate((counts, counts[::-1])):
                what = f"log_given of z, {shapes[0]}, and z', {shapes[1]}"
                self._require_shape(self.log_given(latents, side), [*wanted], what, "it is a table of log_prob")
        self._require_gradient(tuple(z.clone() for _ in range(self.views)))

    def _require_shape(self, gave: object, wanted: list[int], what: str, why: str) -> None:
        """Raise PartError unless a density gave one real number for each latent, pair or combination."""
        shape = list(gave.shape) if isinstance(gave, Tensor) else type(gave).__name__
        if shape != wanted:
            raise PartError(f"prior: {type(self).__name__}.{what}, is {shape}; {why}, {wanted}")
        if not gave.is_floating_point():
            raise PartError(f"prior: {type(self).__name__}.{what}, is {dtype_name(gave)}, and must be floats")

    @torch.enable_grad()
    def _require_gradient(self, latents: tuple[Tensor, ...]) -> None:
        """Raise PartError where log P of a few latents, [B, D] each, differs between them and has no gradient."""
        latents = tuple(z + torch.rand_like(z).requires_grad_() for z in latents)
        with read_only(f"prior: {type(self).__name__}.log_prob", **dict(zip(("z", "z_prime"), latents))):
            density = self.log_density(latents)
        if not density.requires_grad and (density != density[0]).any():
            fault = f"log_prob of {type(self).__name__} has no gradient"
            raise PartError(f"prior: {fault}; compute it in torch, from the tensors that it is given")

    def own_parameters(self):
        return self.parameters()

    @torch.no_grad()
    def described(self):
        return {name: getattr(self, name) for name in self.law}

    def elbo(self, estimator, encoded, joint: bool = False):
        encoded = all_gather_encoded(encoded)
        density, shape = self.log_density(encoded.latents), list(encoded.latents[0].shape)
        self._require_shape(density, shape[:1], f"log_prob of z, {shape}", "log P of a pair is one number")
        blocks = self.entropies(joint)
        if not estimator.estimates_elbo:  # a regulariser of every view
            blocks = {(view,): 1 for view in range(self.views)}
        weighed = not isinstance(self.marginal, str) and self.marginal < 1
        if weighed:
            blocks.setdefault((0,), 0)
        h, mixtures = {}, self.log_mixtures(encoded.latents)
        for place, block in enumerate(blocks):
            mixture = None if joint else partial(mixtures, block[0])
            z, posterior = of_block(encoded, block, self.space)
            space, side = power(self.space, len(block)), place if joint else block[0]
            h[block] = estimator(z, posterior=posterior, space=space, side=side, mixture=mixture)
            if z.requires_grad and estimator.estimates_elbo:
                require_gradient(estimator, h[block])
        value = sum((sign * h[block] for block, sign in blocks.items()), start=density.mean())
        if not weighed:
            return value
        apart = self._known_marginal(encoded.latents[0]).mean() + (h[0,] if estimator.estimates_elbo else 0.0)
        return straight_through(value, value - (1 - self.marginal) * apart)

    def samplers(self, latents):
        dim = latents[0].shape[1]
        if self.marginal != "encoder":
            return [lambda like: torch.cat(self.sample(len(like), dim), 1).to(like)]

        def sample(like: Tensor) -> Tensor:
            z = latents[0][torch.randint(len(latents[0]), (len(like),), device=like.device)]
            return torch.cat([z, self.sample_conditional(z)], 1).to(like)

        return [sample]


def own_and_rest(table: Tensor, own: Tensor) -> Tensor:
    """Of rows of log densities, [R, N]: that in the row's own column, and the log of the mean of the others, [R, 2]."""
    of_own = table.gather(1, own[:, None])
    if table.shape[1] == 1:
        return of_own.expand(-1, 2)
    is_own = own[:, None] == torch.arange(table.shape[1], device=table.device)
    rest = table.masked_fill(is_own, -math.inf).logsumexp(1) - math.log(table.shape[1] - 1)
    return torch.cat([of_own, rest[:, None]], 1)


def of_block(encoded: Encoded, block: Block, space: type[Space]) -> tuple[Tensor, Posterior]:
    """The latents of a block joined, and their posterior."""
    if len(block) == 1:
        return encoded.latents[block[0]], encoded.posteriors[block[0]]
    posteriors = [encoded.posteriors[view] for view in block]
    return join(space, [encoded.latents[view] for view in block]), Joined(posteriors)
