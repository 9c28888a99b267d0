"""log Q(z) and log Q / P by fresh classifiers, for reported numbers: fitted on train, chosen on validation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.distributions.spaces import Space
from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators.classifier import cross_entropy
from ssvae_cli.evaluation.fit import fit
from ssvae_cli.layers import mlp, require_widths

Sampler = Callable[[Tensor], Tensor]  # like: [B, D] -> B samples of P, [B, D]
LogDensity = Callable[[Tensor], Tensor]  # [B, D] -> [B], nats


@dataclass(frozen=True, kw_only=True)
class RatioFit:
    """Settings of a classifier between samples of two distributions."""

    hidden: list[int]  # widths of its layers
    steps: int  # of AdamW
    batch_size: int  # samples of each distribution
    eval_every: int  # steps between validations

    def __post_init__(self):
        require_widths("hidden", self.hidden)
        require_at_least(1, steps=self.steps, batch_size=self.batch_size, eval_every=self.eval_every)

    def density(self, train: Tensor, validation: Tensor, space: type[Space], seed: int = 0) -> LogDensity:
        """z -> log Q(z), [B, D] -> [B], nats, by a classifier between samples of Q and of a reference.

        train, validation: samples of Q(z), [N, D]. The reference is the space's, with Q's first moments; the network
        learns what remains, the shape. Source: Sec. 3.1 of the paper.
        """
        to_reference = space.standardiser(train.double())
        samples = (to_reference(z.double())[0].to(z) for z in (train, validation))
        log_ratio = self.log_ratio(*samples, (space.sample, space.sample), seed=seed)

        def log_q(z: Tensor) -> Tensor:
            u, log_jacobian = to_reference(z.double())
            return (space.log_prob(u) + log_jacobian).to(z) + log_ratio(u.to(z))

        return log_q

    def log_ratio(
        self,
        train: Tensor,
        validation: Tensor,
        samplers: tuple[Sampler, Sampler],
        *,
        seed: int,
        start: LogDensity | None = None,
        lift: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> LogDensity:
        """z -> log Q(z) / P(z), [B, D] -> [B], nats, by a classifier between samples of Q and of P.

        train, validation: samples of Q, [N, D]. samplers: of P, for each of the two. start: log Q / P to which the
        network's output is added; None starts from Q = P. lift: maps z to the network's input.
        """
        with own_stream(seed, train.device), torch.enable_grad():  # leaves the random numbers of training unchanged
            network = mlp([lift(train[:1]).shape[1], *self.hidden, 1]).to(train)
            logit = lambda u: network(lift(u)).squeeze(1) - (start(u) if start else 0)
            torch.nn.init.zeros_(network[-1].weight)
            torch.nn.init.zeros_(network[-1].bias)
            optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
            sample, held_out = samplers[0], samplers[1](validation)

            def objective() -> Tensor:
                z = draw_with_replacement(train, self.batch_size)
                return -cross_entropy(logit, sample(z), z)

            validate = lambda: -cross_entropy(logit, held_out, validation).item()
            limits = {"steps": self.steps, "eval_every": self.eval_every}
            fit(network, objective, validate, optimizer, **limits, schedule=schedule)
        return torch.no_grad()(lambda z: -logit(z))


def draw_with_replacement(rows: Tensor, count: int) -> Tensor:
    """`count` of the rows, at most N, drawn independently: [N, D] -> [min(count, N), D]."""
    return rows[torch.randint(len(rows), (min(count, len(rows)),), device=rows.device)]
