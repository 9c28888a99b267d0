"""dataset=latents: chains of a law's steps, what the data say of themselves, and what makes no law.

1. A chain is stationary where it says so, and its steps share the I that is said of them.
2. The truth is named as a prior's parameters are.
3. A setting under which there is no law is refused in a line.
"""

import functools

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy import stats

from helpers import composed
from ssvae_cli.datasets.base import CONTRACT
from ssvae_cli.errors import UserError
from ssvae_cli.evaluation.described import described
from ssvae_cli.instantiate.build import build
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.context import Context
from ssvae_cli.pairs.window import Window


@functools.cache
def config(law):
    few = [f"dataset.{name}" for name in ("train=4000", "validation=5", "test=6", "dim=3")]
    return composed("dataset=latents", f"dataset/law={law}", *few).dataset


def data(law, *settings):
    open_config = OmegaConf.create(OmegaConf.to_container(config(law)))  # keys that do not exist can be added
    return build(OmegaConf.merge(open_config, OmegaConf.from_dotlist(list(settings))), "dataset", CONTRACT)


CHAINS = ["vmf", "gaussian", "linear_dynamics", "switching_dynamics", "lorenz", "level", "mixture", "shared_latent"]


@pytest.mark.parametrize("law", CHAINS)
def test_a_chain_of_a_stationary_law_ends_as_it_began(law):
    z = data(law, "steps=9").train.factors
    assert z.shape == (4000, 9, 3)
    assert stats.ks_2samp(z[:2000, 0, 0].numpy(), z[2000:, -1, 0].numpy()).pvalue > 1e-3


def test_i_of_a_chain_is_said_where_its_steps_are_all_that_the_past_tells():
    chains = {law: data(law, "steps=6") for law in ("gaussian", "laplace", "mixture", "level")}
    said = lambda pairs: {law for law, chain in chains.items() if pairs.mi(chain) is not None}
    windows = lambda size, ahead: Context(window=size, ahead=ahead, future=size, then=Identity())
    assert said(windows(2, 1)) == {"gaussian"} and said(windows(2, 2)) == set()
    assert said(windows(1, 1)) == {"gaussian", "mixture", "level"}, "two neighbours"
    assert said(Window(length=2, step=1, read=None, then=Identity())) == {"gaussian", "mixture", "level"}
    assert chains["gaussian"].mi == data("gaussian").mi and chains["gaussian"].conditional is None


def test_a_chain_keeps_its_level():
    z = data("level", "steps=4").train.factors[..., 0]
    expected = [[1, 0.2, 0.68, 0.392], [0.2, 1, 0.2, 0.68], [0.68, 0.2, 1, 0.2], [0.392, 0.68, 0.2, 1]]
    assert torch.allclose(torch.corrcoef(z.T), torch.tensor(expected), atol=0.06)  # 0.5 + 0.5 (-0.6)^k


def test_a_window_shares_with_the_next_what_two_neighbours_share():
    """Normal chains: I of two windows by the determinants of their covariances."""
    chain = data("linear_dynamics", "steps=4", "train=40000").train.factors
    joint = torch.cov(chain.flatten(1).T).double()  # two windows of two steps, three dimensions
    i = 0.5 * (torch.logdet(joint[:6, :6]) + torch.logdet(joint[6:, 6:]) - torch.logdet(joint))
    assert i.item() == pytest.approx(data("linear_dynamics").mi, abs=0.02)


def test_the_truth_is_named_as_the_priors_parameters_are():
    assert data("vmf").truth == {"concentration": 10.0}
    assert data("gaussian", "law.correlation=[0.9,0.5]").truth == {"correlation": pytest.approx([0.9, 0.7, 0.5])}
    assert data("shared_latent").truth == {"scale": [1.0] * 3, "noise": [0.5] * 3}
    assert data("student", "law.scale=0.2").truth == {"scale": [0.2] * 3, "df": 3.0}
    of_content = data("laplace", "law.scale=[0.3,0.1]", "law.content=1").truth["scale"]
    assert of_content == [0.0, *data("laplace", "law.scale=[0.3,0.1]").truth["scale"][1:]]  # content takes no step
    assert set(data("mixture").truth) == {"weights", "means"}
    dynamics = data("linear_dynamics", "law.persistence=0.9").truth
    assert np.abs(np.linalg.eigvals(dynamics["transition"])) == pytest.approx([0.9] * 3)
    assert dynamics["spectral_radius"] == pytest.approx(0.9)


def test_the_truth_is_summarised_as_what_a_prior_learned_is():
    law = {"concentration": 10, "scale": [0.5, 1.0, 3.0], "transition": [[0.9, 0.0], [0.0, 0.9]]}
    learned = {name: torch.tensor(values) for name, values in law.items()}
    truth, prior = described("truth", law), described("prior", learned)
    assert truth == {"truth/concentration": 10, "truth/scale": 1.5, "truth/scale/least": 0.5, "truth/scale/largest": 3}
    assert {name.replace("prior", "truth"): value for name, value in prior.items()} == truth


def test_an_estimated_i_comes_with_its_error():
    (note,) = data("mixture").notes
    assert "standard error" in note and data("gaussian").notes == ()


@pytest.mark.parametrize(
    "law, override, said",
    [
        ("vmf", "dim=1", "^dataset.dim must be at least 2"),
        ("vmf", "law.concentration=0", "law.concentration must be above 0"),
        ("vmf", "law.scale=1", "unknown key dataset.law.scale; allowed: .*concentration"),
        ("vmf", "law.dim=3", "unknown key dataset.law.dim, which the program sets"),
        ("gaussian", "law.correlation=1", "law.correlation must lie between -1 and 1"),
        ("gaussian", "law.correlation=[0.1,0.2,0.3,0.4]", "a list of dataset.dim=3 numbers.*; got 4 numbers"),
        ("laplace", "law.scale=[1,0]", "law.scale must be above 0"),
        ("laplace", "law.content=3", "content must lie between 0 and 2"),
        ("laplace", "law.dependence=0.5", "needs dataset.law.source=normal and content"),
        ("student", "law.df=0.1", "df must be at least 0.5"),
        ("shared_latent", "law.noise=0", "law.noise must be above 0"),
        ("shared_latent", "law.source=box", "one of normal, laplace, student, uniform"),
        ("linear_dynamics", "law.persistence=1", "persistence must lie in"),
        ("mixture", "law.components=0", "components must be at least 1"),
        ("gaussian", "steps=1", "steps must be at least 2"),
        ("gaussian", "noise=-1", "noise must be at least 0"),
        ("gaussian", "width=2", "dataset.width must be at least 3"),
        ("linear_dynamics", "law.rotation=[0.1,0.2]", "dim // 2=1 number,"),
        ("switching_dynamics", "law.components=0", "components must be at least 1"),
        ("switching_dynamics", "law.persistence=1", "persistence must lie in"),
        ("lorenz", "dim=4", "dim must be a multiple of 3"),
        ("lorenz", "law.noise=0", "noise must be above 0"),
        ("level", "law.share=1", "share must lie in"),
        ("level", "law.correlation=1", "correlation must lie between"),
        ("laplace", "law.change=0", "change must lie in"),
        ("normal", "law={source: sphere, change: 0.5}", "any source but sphere"),
    ],
)
def test_what_makes_no_law_is_refused_in_a_line(law, override, said):
    with pytest.raises(UserError, match=said) as error:
        data(law, override)
    assert "\n" not in str(error.value)
