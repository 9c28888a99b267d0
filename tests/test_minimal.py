"""docs/MINIMAL.md is one whole training step in under 60 lines, and its ELBO and gradient are those of the program."""

import re
from pathlib import Path

import pytest
import torch

from ssvae_cli.critics import Cosine
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.encoders.posteriors import Deterministic
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.estimators.entropies import Conditionals
from ssvae_cli.objective import Objective
from ssvae_cli.priors.gaussian import Gaussian
from ssvae_cli.priors.infonce import InfoNCE

PAGE = (Path(__file__).parents[1] / "docs" / "MINIMAL.md").read_text()
(STEP,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)


class Encoder(torch.nn.Module):
    """The page's network, as an encoder of the program."""

    stochastic, microbatch = False, None

    def __init__(self, network):
        super().__init__()
        self.network = network

    def features(self, x):
        return x

    def forward(self, x):
        return Deterministic()(self.network(x), SPACES["euclidean"])


PARTS = {
    "infonce": (lambda: InfoNCE(critic=Cosine(temperature=0.2), direction="forward"), KWay),
    "gaussian": (
        lambda: Gaussian(latent_dim=8, correlation=0.9, learn=True, covariance="correlation", marginal="own"),
        Conditionals,
    ),
}


@pytest.mark.parametrize("prior", PARTS)
def test_the_elbo_and_its_gradient_are_those_of_the_program(prior, capsys):
    page = {}
    exec(compile(STEP, "docs/MINIMAL.md", "exec"), page)
    assert re.fullmatch(r"ELBO \d\.\d+ nats, at most log 256 = 5.545\n", capsys.readouterr().out)
    make_prior, estimator = PARTS[prior]
    objective = Objective(
        encoder=Encoder(page["encoder"]), encoder_prime=None, prior=make_prior(), estimator=estimator()
    )
    gradients = []
    for value in (
        objective(page["x"], page["x_prime"]),
        page[f"elbo_{prior}"](*map(page["encoder"], (page["x"], page["x_prime"]))),
    ):
        page["encoder"].zero_grad()
        value.backward()
        gradients.append((value.item(), [weight.grad.clone() for weight in page["encoder"].parameters()]))
    (ours, of_ours), (printed, of_printed) = gradients
    if prior == "gaussian":  # the page's has taken no step: its parameter is not of the ELBO that was trained
        assert torch.allclose(page["atanh_r"], objective.prior.raw)
    assert printed == pytest.approx(ours, rel=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(of_ours, of_printed))


def test_it_is_short():
    assert len([line for line in STEP.splitlines() if line.strip()]) < 60
