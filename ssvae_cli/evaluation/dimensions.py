"""What of KL(Q || P) lies in each coordinate of the latents, and what between coordinates."""

import logging

import torch
from torch import Tensor

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.errors import counted, require_at_least
from ssvae_cli.estimators import KNN
from ssvae_cli.evaluation import seeds
from ssvae_cli.evaluation.estimate import Enclosed, Estimate, as_kl, rest_of_kl
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.priors import ExplicitPrior
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
KEYS = tuple(f"kl/dimensions/{part}" for part in ("sum/test", "sum/test/error", "largest/test", "between/test"))
LOGGED = 3  # coordinates that the log names
MOST_NAMED = 16  # coordinates that have a number each in the summary
ENCODERS_OWN = Missing("P(z) is Q(z), so the prior gives no density of a coordinate of the pair")


class Dimensions:
    """`kl/dimensions/z0` and so on: KL(Q(z_d, z'_d) || P(z_d, z'_d)) of each coordinate, where the prior is a product
    over them; `largest`, their `sum` with its standard error over rows, and `between`, KL(Q || P) less the sum: how far
    the coordinates depend on each other, which those of P do not. Nats.

    Each is E log Q - log P, with the entropy by the k-th neighbour (Kozachenko & Leonenko 1987), less the same of as
    many samples of P, whose KL is 0: so there is no bias where Q is P. It may lie below 0 by its error. rows: of test,
    at most.
    """

    def __init__(self, *, k: int = 5, rows: int = 2048):
        require_at_least(1, k=k)
        require_at_least(k + 1, rows=rows)
        self.k, self.rows = k, rows

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        prior = reading.objective.prior
        if split != "test":
            return {}
        if reading.objective.decoder is not None or not prior.needs_densities:
            return dict.fromkeys(KEYS)
        if prior.log_prob_of_dimensions(*(z[:1] for z in reading.latents(split))) is None:
            return dict.fromkeys(KEYS)
        explicit, count = reading.explicit(), len(reading.latents(split)[0])
        rows = counted(count, "row")
        few = Missing(f"test has {rows}, and a neighbour k={self.k} needs more") if count <= self.k else None
        own = ENCODERS_OWN if prior.marginal == "encoder" else None
        if fault := own or (explicit if isinstance(explicit, Missing) else None) or few:
            return dict.fromkeys(KEYS, fault)
        of_q, of_p = self.log_ratios(prior, explicit.latents)
        values = of_q.mean(0) - of_p.mean(0)
        together = as_kl(Enclosed(*Estimate.of_difference(of_q.sum(1), of_p.sum(1)), None, None))
        if isinstance(together.value, Missing):
            return dict.fromkeys(KEYS, together.value)
        largest = values.argsort(descending=True)[:LOGGED].tolist()
        named = ", ".join(f"z{d} {values[d]:.3f}" for d in largest)
        log.info("KL of single coordinates, nats: %.3f ± %.3f in sum; the largest: %s", *together[:2], named)
        between = rest_of_kl(explicit.divergence(), together)
        parts = dict(zip(KEYS, (*together[:2], values.max().item(), between)))
        shown = values.tolist() if len(values) <= MOST_NAMED else []
        return parts | {f"kl/dimensions/z{d}/test": value for d, value in enumerate(shown)}

    def log_ratios(self, prior: ExplicitPrior, latents: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """log Q/P of each coordinate of latents, [n, D] each, and of samples of P, whose log Q/P is 0: [rows, D]. The
        difference of their means is the KL."""
        rows = evenly_spaced(len(latents[0]), self.rows, latents[0].device)
        latents = tuple(z[rows] for z in latents)
        with own_stream(seeds.PRIOR, latents[0].device):
            of_p = tuple(z.to(latents[0]) for z in prior.sample(len(rows), latents[0].shape[1]))
        return self._log_ratio(prior, latents), self._log_ratio(prior, of_p)

    def _log_ratio(self, prior: ExplicitPrior, latents: tuple[Tensor, ...]) -> Tensor:
        """log Q less log P of each sample and coordinate, [n, D], by samples of any Q."""
        knn, columns = KNN(k=self.k), torch.stack(latents, 2).double().unbind(1)  # [n, views] each
        return -torch.stack([knn.of_each(column) for column in columns], 1) - prior.log_prob_of_dimensions(*latents)
