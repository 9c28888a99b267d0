"""The ordinary VAE's KL term, in closed form."""

from torch import Tensor, nn


class Analytic(nn.Module):
    """-KL(Q(z|x) || N(0, I)), averaged over the batch: the KL term of the ordinary VAE's ELBO (Eq. 1).

    Exact, for a gaussian posterior beside an explicit decoder, which adds E log P(x|z). Without one the SSVAE's
    ELBO needs Q(z) and not Q(z|x), and this is not it.
    """

    name = "analytic"

    def forward(self, prior, encoded) -> Tensor:
        return -encoded.posterior.kl_standard_normal().mean()
