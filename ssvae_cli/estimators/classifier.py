"""The classifier of Sec. 3.1: a network tells samples of P from samples of Q, and its logit is log P / Q."""

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ssvae_cli.couplings import mlp
from ssvae_cli.errors import require


class Classifier(nn.Module):
    """E_Q log P(z) / Q(z), the ratio being a classifier's logit (Sec. 3.1 of the paper; Sugiyama et al. 2012).

    Value: the mean logit on samples of Q. Gradient: the encoder sees that mean with the classifier frozen, the
    classifier its own cross-entropy with the encoder frozen; both come from one backward pass. Relation to I:
    none. Relation to the ELBO: its estimate, biased up where the classifier is too weak or too far behind to see
    a difference between P and Q. For reported numbers a fresh classifier is fitted and read on held-out samples.
    """

    name = "classifier"

    def __init__(self, *, latent_dim: int, hidden: list[int]):
        super().__init__()
        require(len(hidden) > 0 and min(hidden) > 0, f"estimator.hidden widths must be at least 1, got {list(hidden)}")
        self.network = mlp([latent_dim, *hidden, 1])

    def log_ratio(self, z: Tensor) -> Tensor:
        """log P(z) / Q(z) as the network has it, [B, D] -> [B]."""
        return self.network(z).squeeze(1)

    def cross_entropy(self, from_prior: Tensor, from_posterior: Tensor) -> Tensor:
        """The classifier's own loss on samples [B, D] of P and of Q, []."""
        return (F.softplus(-self.log_ratio(from_prior)) + F.softplus(self.log_ratio(from_posterior))).mean()

    def forward(self, prior, encoded) -> Tensor:
        z = encoded.z
        frozen = {name: p.detach() for name, p in self.network.named_parameters()}
        value = functional_call(self.network, frozen, (z,)).mean()
        own = self.cross_entropy(prior.sample(z.detach()), z.detach())
        return value + own.detach() - own  # the value alone; its gradient trains both sides
