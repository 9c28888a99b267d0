"""Data with known truth: laws against closed forms and scipy, pictures against the factors they were drawn from.

1. The partner of `gaussian` has the correlation asked for, and the mutual information is the closed form.
2. The network is one to one.
3. A sprite's and a ball's place in the picture is what its factors say; balls move by the linear system.
4. Neither the run's seed nor a generator seeded the same way repeats or moves the data.
"""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from helpers import ssvae
from ssvae_cli.datasets import Split
from ssvae_cli.datasets import balls as balls_module
from ssvae_cli.datasets.balls import balls
from ssvae_cli.datasets.base import Factor
from ssvae_cli.datasets.gaussian import gaussian
from ssvae_cli.datasets.latents import latents
from ssvae_cli.datasets.laws.vmf import VMF
from ssvae_cli.datasets.sprites import FACTORS, render, sprites
from ssvae_cli.datasets.synthetic import InvertibleNetwork
from ssvae_cli.errors import UserError
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.latent import Latent
from ssvae_cli.pairs.noise import Noise

SMALL = {"train": 20, "validation": 5, "test": 6, "seed": 0}
BALLS = {"balls": 2, "distractor_motion": "springs", "distractor_period": None, "nuisance": 0.0}
MAKERS = {
    "gaussian": (gaussian, {"dim": 3, "correlation": 0.8, "transform": "network", "layers": 2}),
    "latents": (
        latents,
        {"law": lambda dim, seed: VMF(dim=dim, concentration=10.0), "dim": 4, "layers": 2, "steps": None},
    ),
    "sprites": (sprites, {"nuisance": 0.0}),
    "balls": (balls, BALLS | {"distractors": 1, "steps": 4, "size": 16}),
}


def made(name, **options):
    maker, defaults = MAKERS[name]
    return maker(**(defaults | SMALL | options))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("transform", ["none", "cubic", "network"])
def test_the_gaussian_partner_has_the_correlation_asked_for_behind_its_transform(transform):
    data = made("gaussian", transform=transform, train=50_000)
    x_prime = data.conditional(data.train, generator())
    undo = {
        "none": lambda x: x,
        "cubic": lambda x: x.sign() * x.abs() ** (1 / 3),
        "network": lambda x: data.conditional.transform.inverse(x),
    }[transform]
    z, z_prime = undo(data.train.x), undo(x_prime)
    assert torch.allclose(z, data.train.factors, atol=1e-3)
    cross = torch.corrcoef(torch.cat([z, z_prime], 1).T)
    assert torch.allclose(cross[:3, 3:], 0.8 * torch.eye(3), atol=0.02)
    assert data.mi == pytest.approx(-1.5 * math.log(1 - 0.8**2))


@pytest.mark.parametrize("width", [None, 12])
def test_the_network_is_one_to_one_and_bends(width):
    network, z = InvertibleNetwork(dim=5, layers=4, seed=3, width=width), torch.randn(100, 5)
    assert network(z).shape == (100, width or 5)
    assert torch.allclose(network.inverse(network(z)), z, atol=1e-5)
    assert (network(z) + network(-z)).abs().max() > 0.1


def test_a_sprite_is_where_its_factors_say_and_moves_without_changing_its_kind():
    data = made("sprites")
    assert torch.equal(render(data.train.factors), data.train.x)
    assert torch.equal(data.train.y, data.train.factors[:, 0].long())
    place = {factor.name: i for i, factor in enumerate(FACTORS)}
    factors = data.train.factors[:1].repeat(2, 1)
    factors[:, place["shape"]], factors[:, place["background"]] = torch.tensor([0.0, 1.0]), 0.0
    cover = render(factors).float().sum(1)
    line = (torch.arange(64) + 0.5) / 32 - 1
    centre = [(cover.sum(axis) * line).sum(1) / cover.sum((1, 2)) for axis in (1, 2)]
    assert torch.allclose(torch.stack(centre), factors[:, [place["x"], place["y"]]].T, atol=0.01)
    moved = data.conditional(data.train, generator())
    assert moved.shape == data.train.x.shape and not torch.equal(moved, data.train.x)
    ink = lambda x: x.float().amax((2, 3)).argmax(1)  # the strongest channel of the shape's colour, on any grey ground
    pure = (data.train.factors[:, place["colour"]] * 3 % 1 - 0.5).abs() > 0.3  # of a hue near red, green or blue
    assert pure.any() and torch.equal(ink(moved)[pure], ink(data.train.x)[pure])


def test_a_sprites_nuisance_is_a_gradient_of_its_background_and_two_factors():
    plain, busy = made("sprites"), made("sprites", nuisance=0.8)
    assert [f.name for f in busy.factors if f not in plain.factors] == ["gradient_x", "gradient_y"]
    factors = busy.train.factors.clone()
    factors[:, 6] = 0.5  # the grey level at the centre, so that no end is clipped
    corners = render(factors).float()[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]] / 255
    x, y = factors[:, 7:].T * (1 - 1 / 64)
    expected = torch.stack([0.5 + 0.5 * (i * x + j * y) for j in (-1, 1) for i in (-1, 1)], 1)
    assert torch.allclose(corners, expected.clamp(0, 1), atol=1 / 255)
    assert busy.train.factors[:, 7:].abs().max() <= 0.8
    moved = busy.conditional(busy.train, generator())
    assert moved.shape == busy.train.x.shape and not torch.equal(moved[..., 0, 0], busy.train.x[..., 0, 0])


def test_balls_are_where_their_factors_say_and_move_by_the_linear_system():
    data = made("balls", balls=1, distractors=0, steps=6, size=32, train=2000)
    states = data.train.factors[..., [0, 2]]  # x and its velocity
    before, after = states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1)
    fitted = torch.linalg.lstsq(before, after).solution.T
    assert torch.allclose(fitted.double(), balls_module.transition(), atol=0.02)
    assert data.truth["spectral_radius"] == pytest.approx(np.abs(np.linalg.eigvals(data.truth["transition"])).max())
    kick = after - before @ balls_module.transition().float().T
    assert torch.allclose(kick[:, 0], kick[:, 1], atol=1e-5), "one noise moves position and velocity"
    spread = torch.stack([states[:, t, 0].std() for t in (0, 5)])
    assert torch.allclose(spread, torch.full((2,), balls_module.SPREAD), atol=0.02), "stationary"
    frames = data.train.x[:50, 0].float().sum(1)
    line = (torch.arange(32) + 0.5) / 16 - 1
    inside = (data.train.factors[:50, 0, :2].abs() < 0.75).all(1)
    centre = torch.stack([(frames.sum(axis) * line).sum(1) / frames.sum((1, 2)) for axis in (1, 2)], 1)
    assert torch.allclose(centre[inside], data.train.factors[:50, 0, :2][inside], atol=0.02)


@pytest.mark.parametrize("period", [6.0, 40.0])
def test_springs_have_the_period_asked_for_and_one_spread(period):
    eigenvalue = torch.linalg.eigvals(balls_module.transition(period))[0]
    assert abs(2 * math.pi / eigenvalue.angle().item()) == pytest.approx(period)
    states = balls_module.spring_states(balls_module.transition(period), 4000, 1, 3, generator())
    assert states[:, -1, 0, :, 0].std().item() == pytest.approx(balls_module.SPREAD, abs=0.01)


@pytest.mark.parametrize("motion, kept", [("jumps", 0.8), ("white_noise", 0.0)])
def test_distractors_move_by_a_law_of_their_own(motion, kept):
    """The one ball is hidden behind nothing: what remains of two frames' difference is the grey ball's."""
    places = balls_module.jumping_positions(balls_module.JUMP if motion == "jumps" else 1.0, 4000, 1, 3, generator())
    correlation = torch.corrcoef(torch.stack([places[:, 0, 0, 0], places[:, 1, 0, 0]]))[0, 1].item()
    assert correlation == pytest.approx(kept, abs=0.06)
    videos = {name: made("balls", distractor_motion=name).train.x for name in ("springs", motion)}
    assert not torch.equal(*videos.values())


def test_the_nuisance_is_a_slow_background_and_a_factor_where_there_is_one():
    data = made("balls", nuisance=0.5, distractors=0, steps=6, train=1000)
    assert data.factors[-1] == Factor("background", group="nuisance") and len(made("balls").factors) == 8
    level = data.train.factors[..., -1]
    corner = data.train.x[:, :, :, 0, 0].float().amin(2) / 255  # a ball may cover it, and is brighter in a channel
    clear = data.train.factors[..., :8].unflatten(2, (2, 4))[..., :2].abs().amax((2, 3)) < 0.6
    assert torch.allclose(corner[clear], level[clear], atol=3 / 255)
    assert stats.kstest(2 * level[:, 3].numpy(), "uniform").pvalue > 1e-3
    assert torch.corrcoef(level[:, :2].T)[0, 1] > 0.95


def test_distractors_are_seen_and_not_told():
    clean, busy = made("balls", distractors=0), made("balls", distractors=3)
    assert clean.factors == busy.factors and clean.train.factors.shape == busy.train.factors.shape == (20, 4, 8)
    assert busy.train.x.float().mean() > clean.train.x.float().mean()


@pytest.mark.parametrize("name", MAKERS)
def test_the_data_have_a_seed_of_their_own_and_splits_that_differ(name):
    torch.manual_seed(5)
    first = made(name)
    torch.manual_seed(6)
    again, other = made(name, train=10), made(name, seed=1)
    assert torch.equal(first.test.x, again.test.x) and not torch.equal(first.test.x, other.test.x)
    assert not torch.equal(first.validation.x, first.test.x[:5])


def test_a_generator_of_the_same_seed_does_not_repeat_the_data():
    """Training's generator is seeded the same way: x' drawn from the stream that made x would be x."""
    data = made("gaussian", transform="none", correlation=0.0, train=2000)
    x_prime = data.conditional(data.train, torch.Generator().manual_seed(0))
    assert torch.corrcoef(torch.stack([data.train.x[:, 0], x_prime[:, 0]]))[0, 1].abs() < 0.1


def test_a_run_on_known_truth_reports_it_and_what_has_no_labels_has_no_probe(tmp_path):
    few = ["dataset.train=400", "dataset.validation=60", "dataset.test=80", "encoder.latent_dim=5"]
    command = ["train", "dataset=latents", *few, "trainer.epochs=2", "trainer.batch_size=100", "trainer.device=cpu"]
    assert ssvae(*command, f"hydra.run.dir={tmp_path}/run") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["data/mi_true"] == pytest.approx(VMF(dim=5, concentration=10.0).information()[0], abs=1e-9)
    assert 0.5 < summary["factors/r2/test"] <= 1 and 0 < summary["factors/mcc/test"] <= 1
    assert summary["truth/concentration"] == 10.0
    assert summary["factors/accuracy/test"] is None and summary["probe/linear/test"] is None
    again = ["training.steps=1", "evaluation=none", "+metric@evaluation.metrics.geometry=geometry"]
    assert ssvae("eval", f"run={tmp_path}/run", *again, f"hydra.run.dir={tmp_path}/again") == 0
    found = json.loads((tmp_path / "again" / "summary.json").read_text())
    kept = {key for key in summary if key.startswith(("prior/", "truth/", "data/"))}
    assert {"truth/concentration", "data/mi_true", "data/log_n_test"} <= kept
    assert {key: found[key] for key in kept} == {key: summary[key] for key in kept}
    assert found["elbo/test"] is None and summary["elbo/test"] is not None


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("gaussian", {"correlation": 1.0}, "correlation must lie between -1 and 1"),
        ("gaussian", {"dim": 0}, "dim must be at least 1"),
        ("gaussian", {"train": 0}, "train must be at least 1"),
        ("sprites", {"nuisance": 1.5}, "nuisance must lie"),
        ("sprites", {"seed": -1}, "seed must be at least 0"),
        ("balls", {"balls": 9}, "balls must lie between 1 and 5"),
        ("balls", {"steps": 1}, "steps must be at least 2"),
        ("balls", {"size": 4}, "size must be at least 8"),
        ("balls", {"nuisance": 2.0}, "nuisance must lie"),
        ("balls", {"distractor_period": 2.0}, "distractor_period must be at least 3"),
        ("balls", {"distractor_period": 8.0, "distractor_motion": "jumps"}, "needs distractor_motion=springs"),
    ],
)
def test_what_makes_no_data_is_refused_in_a_line(name, options, said):
    with pytest.raises(UserError, match=said) as error:
        made(name, **options)
    assert "\n" not in str(error.value)


def test_the_mutual_information_of_the_law_is_not_said_of_other_pairs():
    data = made("gaussian")
    assert Latent(then=Identity()).mi(data) == data.mi
    assert Latent(then=Noise(std=0.1)).mi(data) is None and Noise(std=0.1).mi(data) is None


def test_a_split_on_its_device_holds_no_larger_one():
    """What was held out is let go, and batches are known as rows of this split."""
    part = Split(torch.arange(7.0)[:, None], torch.arange(7)).rows(torch.tensor([1, 3, 5])).to(torch.device("cpu"))
    assert part.of is None and all(batch.of is part for batch in part.batches(2))


def test_batches_come_in_the_order_asked_for():
    x = torch.arange(7.0)[:, None]
    split = Split(x, torch.arange(7), x_prime=-x)
    assert [b.y.tolist() for b in split.batches(3)] == [[0, 1, 2], [3, 4, 5], [6]]
    batches = list(split.batches(2, torch.tensor([6, 0, 3])))
    assert [b.y.tolist() for b in batches] == [[6, 0], [3]] and batches[0].x_prime.squeeze(1).tolist() == [-6, 0]


@pytest.mark.parametrize("name", MAKERS)
def test_more_data_than_memory_gb_are_refused_before_they_are_made(name):
    with pytest.raises(UserError, match="would take .* GiB where memory_gb=4; lower train") as error:
        made(name, train=10**12)
    assert "\n" not in str(error.value)
    assert len(made(name, memory_gb=0.01).train) == 20
