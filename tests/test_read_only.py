"""What a part is handed is read by others after it: who writes into it is named, before a number is wrong."""

import pytest
import torch

from ssvae_cli.critics import Critic, require_scores
from ssvae_cli.datasets import Data, Split
from ssvae_cli.encoders.base import Encoder, features_dim
from ssvae_cli.errors import PartError, UserError
from ssvae_cli.estimators import LogDet
from ssvae_cli.evaluation.evaluation import Evaluation
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.instantiate.read_only import versions
from ssvae_cli.objective import Objective
from ssvae_cli.pairs import Pairs
from ssvae_cli.pairs.base import require_promised
from ssvae_cli.priors import ExplicitPrior

X, Y = torch.rand(12, 4), torch.arange(12) % 3


def doubled(x):
    """x itself, changed."""
    return x.mul_(2)


class Views(Pairs):
    def __init__(self, change):
        self.change = change

    def __call__(self, batch, generator):
        return self.change(self.normalise(batch.x)), batch.x + 1


class Backbone(torch.nn.Linear):
    def forward(self, x):
        return super().forward(doubled(x))


class Step(ExplicitPrior):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def log_prob(self, z, z_prime):
        return -(self.change(z) - z_prime).square().sum(-1)


class Product(Critic):
    def __init__(self, of_table, of_pairs):
        super().__init__()
        self.of_table, self.of_pairs = of_table, of_pairs

    def table(self, z, z_prime):
        return z @ self.of_table(z_prime).T

    def pairs(self, z, z_prime):
        return (self.of_pairs(z) * z_prime).sum(1)


def data():
    return Data(*(Split(X.clone(), Y.clone()) for _ in range(3)))


@pytest.mark.parametrize(
    "attempt, said",
    {
        "pairs": (lambda: require_promised(Views(doubled), data()), "pairs: Views writes into batch.x,"),
        "a backbone": (
            lambda: features_dim(Backbone(4, 8), (4,), "backbone"),
            "backbone cannot take x of 4: it writes into x,",
        ),
        "a density": (lambda: Step(doubled).require_promised(5), "prior: Step.log_prob writes into z,"),
        "a table": (
            lambda: require_scores(Product(doubled, abs), 4, "critic"),
            "critic: Product writes into z_prime,",
        ),
        "scores of pairs": (lambda: require_scores(Product(abs, doubled), 4, "critic"), "Product writes into z,"),
    }.values(),
)
def test_a_part_that_writes_into_what_it_is_handed_is_a_line(attempt, said):
    with pytest.raises(UserError) as error:
        attempt()
    assert said in str(error.value)


def reading_after(metrics: dict) -> Reading:
    """What the metrics have read, on test, of an encoder that was not trained."""
    encoder = Encoder(shape=(4,), backbone=torch.nn.Linear(4, 8), latent_dim=2, projector=[])
    objective = Objective(encoder=encoder, encoder_prime=None, prior=Step(abs), estimator=LogDet())
    evaluation = Evaluation(metrics=metrics, fitting_pairs=5, density=None)
    reading = evaluation.reading(objective, Views(abs), data())
    evaluation(reading, "test")
    return reading


READS = (Reading.features, Reading.codes, lambda reading, split: reading.latents(split)[0])


def test_a_metric_changes_nothing_that_others_read():
    def after_a_metric(of):
        def own(reading, split):
            torch.set_grad_enabled(False)
            doubled(of(reading, split))
            return {}

        return reading_after({"own": own})

    for of in READS:
        with pytest.raises(
            PartError, match="metrics.own: on test function wrote into the features or latents that all"
        ):
            after_a_metric(of)
    assert torch.equal(after_a_metric(Reading.labels).labels("test"), Y)
    assert torch.is_grad_enabled()


def test_what_a_metric_reads_in_inference_mode_has_a_use_for_the_next():
    @torch.inference_mode()
    def first(reading, split):
        return {f"{i}/test": of(reading, split).mean() for i, of in enumerate(READS)}

    def probe(reading, split):
        for of in READS:
            torch.nn.Linear(of(reading, split).shape[1], 1)(of(reading, split)).sum().backward()
        return {}

    reading_after({"first": first, "probe": probe})
    with torch.inference_mode():
        assert versions((torch.zeros(1), None)) == (0,)
