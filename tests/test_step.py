"""One step of training: precision, compilation and the fused update, each compared with its plain form."""

import platform
import subprocess
import sys

import pytest
import torch

from ssvae_cli import objective as module
from ssvae_cli.critics import Cosine
from ssvae_cli.datasets import Split
from ssvae_cli.distributions.seeding import seed_of_views
from ssvae_cli.encoders import MLP, Encoder
from ssvae_cli.encoders.posteriors import Normal
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.objective import Objective
from ssvae_cli.optimizers import SGD, AdamW
from ssvae_cli.pairs.noise import Noise
from ssvae_cli.priors import InfoNCE as InfoNCEPrior
from ssvae_cli.training.step import Forward

DATA = Split(x=torch.randn(32, 6, generator=torch.Generator().manual_seed(0)), y=torch.zeros(32, dtype=torch.int64))


def make(precision="float32"):
    torch.manual_seed(0)
    backbone = lambda shape: MLP(shape=shape, hidden=[16])
    encoder = Encoder(shape=(6,), backbone=backbone, latent_dim=4, projector=[])
    prior = InfoNCEPrior(critic=Cosine(temperature=0.2), direction="both")
    return Objective(encoder=encoder, encoder_prime=None, prior=prior, estimator=InfoNCE(), precision=precision)


def test_where_weights_leave_the_global_stream_unused_views_and_posterior_samples_have_different_noise():
    """As on a GPU: weights are drawn on the CPU. With one seed z of six dimensions would have the noise of x."""
    views_of = lambda seed: Noise(std=1.0)(DATA, torch.Generator().manual_seed(seed))
    of_views = torch.cat([view - DATA.x for view in views_of(seed_of_views(0, torch.device("cuda")))], 1)
    torch.manual_seed(0)
    still = Normal(torch.zeros_like(DATA.x), torch.zeros_like(DATA.x))
    of_posteriors = torch.cat([still.sample(), still.sample()], 1)
    correlation = lambda noise: torch.corrcoef(torch.stack([noise.flatten(), of_posteriors.flatten()]))[0, 1].item()
    assert abs(correlation(of_views)) < 0.2  # 4 standard errors
    assert correlation(torch.cat([view - DATA.x for view in views_of(0)], 1)) > 0.99


class OfTwice(Encoder):
    """One whose Q(z|x) is not that of its features."""

    def forward(self, x):
        return super().forward(2 * x)


def test_features_and_z_come_from_one_pass_of_the_backbone_and_are_what_each_alone_gives():
    made, x, passes = make(), torch.rand(4, 6), []
    made.encoder.backbone.register_forward_hook(lambda *_: passes.append(1))
    features, z = made.represented(x)
    assert len(passes) == 1
    torch.testing.assert_close(features, made.features(x))
    torch.testing.assert_close(z, made.posterior(x).mean)
    of_twice = made.posterior(2 * x).mean
    made.encoder.__class__ = OfTwice
    torch.testing.assert_close(made.represented(x)[1], of_twice)


@pytest.mark.parametrize("supported, same, other", [(True, "bf16", "float32"), (False, "float32", "bf16")])
def test_auto_precision_is_bf16_where_the_hardware_supports_it(supported, same, other, monkeypatch):
    monkeypatch.setattr(module, "supports_bf16", lambda device: supported)
    elbo = {precision: make(precision)(DATA.x, 1.1 * DATA.x) for precision in ("auto", same, other)}
    assert elbo["auto"] == elbo[same] and elbo["auto"] != elbo[other]


def test_compiled_steps_give_the_elbos_of_plain_ones(monkeypatch):
    """In the mode asked for, differentiated as for any backend, but run by torch: a machine may lack a C++ compiler."""
    modes, plain = [], torch.compile

    def traced(part, mode):
        modes.append(mode)
        return plain(part, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", traced)
    elbos = {}
    for compile in (False, True, "reduce-overhead"):
        objective = make("auto")
        optimization = AdamW(lr=0.01, weight_decay=0.1, warmup=0.1, clip=1.0).attach([objective], 10)
        forward = Forward(objective, Noise(std=0.1), torch.Generator().manual_seed(0), compile=compile)
        elbos[compile] = []
        for i in range(4):
            elbo = forward(DATA)
            (-elbo).backward()
            optimization.step(i)
            elbos[compile].append(elbo.item())
    assert modes == ["default", "reduce-overhead"]
    for compile in (True, "reduce-overhead"):
        assert elbos[compile] == pytest.approx(elbos[False], rel=1e-4)


def test_a_later_batch_of_fewer_views_than_the_prior_is_of_stops_and_trains_on_no_other_number():
    class Fewer(Noise):
        def __call__(self, batch, generator):
            return super().__call__(batch, generator)[: 2 if len(batch) == 32 else 1]

    forward = Forward(make(), Fewer(std=0.1), torch.Generator().manual_seed(0), compile=False)
    assert forward(DATA).isfinite()
    with pytest.raises(ValueError, match="shorter"):
        forward(DATA.rows(slice(0, 9)))


def minimised(optimization, steps):
    """w after `steps` of descent on 1/2 sum w^2, from [[1, 2]]."""
    layer = torch.nn.Linear(2, 1, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    optimization.attach([layer], steps)
    for i in range(steps):
        layer.weight.square().sum().mul(0.5).backward()
        optimization.step(i)
    return layer.weight.detach()


def test_the_fused_update_of_sgd_is_nesterovs():
    w, velocity = torch.tensor([[1.0, 2.0]], dtype=torch.float64), 0.0
    sgd = SGD(lr=0.1, weight_decay=0.01, warmup=0.0, clip=None, momentum=0.9)
    sgd.total_steps = 3
    for i in range(3):
        slope = w + 0.01 * w
        velocity = 0.9 * velocity + slope
        w = w - sgd.rate(i) * (slope + 0.9 * velocity)
    assert torch.allclose(minimised(sgd, 3), w, rtol=1e-12)


def test_the_fused_update_of_adamw_is_adams_with_decoupled_decay():
    w, mean, square = torch.tensor([[1.0, 2.0]], dtype=torch.float64), 0.0, 0.0
    adamw = AdamW(lr=0.1, weight_decay=0.01, warmup=0.0, clip=None)
    adamw.total_steps = 3
    for i in range(3):
        mean, square = 0.9 * mean + 0.1 * w, 0.999 * square + 0.001 * w**2
        step = mean / (1 - 0.9 ** (i + 1)) / ((square / (1 - 0.999 ** (i + 1))).sqrt() + 1e-8)
        w = w * (1 - adamw.rate(i) * 0.01) - adamw.rate(i) * step
    assert torch.allclose(minimised(adamw, 3), w, rtol=1e-9)


FREED = """
import resource, torch
from ssvae_cli.device import give_freed_back, keep_freed

def faults(times):  # the pages that the system cleared for as many tensors of 64 MiB, one after the other
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():  # MiB
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

first, least = faults(8), resident()
keep_freed(torch.device("cpu"))
faults(24)  # until the small pieces between them are used up
print(faults(8) / first, resident() - least)
give_freed_back()
print(resident() - least)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_a_step_freed_serves_the_next_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    faults, kept, back = map(float, done.stdout.split())
    assert faults < 0.1 and kept > 60 and back < 10
