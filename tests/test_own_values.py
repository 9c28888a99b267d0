"""What a user's own part gives is held to what its neighbours take, in a line."""

from functools import partial

import pytest
import torch

from ssvae_cli.critics import Critic, require_scores
from ssvae_cli.datasets import Data, Split
from ssvae_cli.encoders.base import Encoder, features_dim
from ssvae_cli.errors import PartError, UserError
from ssvae_cli.estimators import EntropyEstimator, InfoNCE, LogDet, ScoreEstimator
from ssvae_cli.estimators.base import require_gradient
from ssvae_cli.instantiate.build import check
from ssvae_cli.objective import Objective
from ssvae_cli.pairs import Pairs
from ssvae_cli.pairs.base import require_promised
from ssvae_cli.priors import Encoded, ExplicitPrior
from ssvae_cli.scores.dense import DenseScores
from ssvae_cli.training.unreached import warn_of_unreached

X, Y = torch.rand(12, 4), torch.arange(12) % 3


class Step(ExplicitPrior):
    """z normal, z' a step from it; how its terms become log P is each test's."""

    def __init__(self, marginal, both):
        super().__init__()
        self.sums = marginal, both

    def log_marginal(self, z, side=0):
        return self.sums[0](-z.square())

    def log_prob(self, z, z_prime):
        return self.sums[1](-z.square() - (z_prime - z).square())


LAST = partial(torch.sum, dim=-1)


@pytest.mark.parametrize(
    "marginal, both, said",
    {
        "not summed": (lambda terms: terms, LAST, "log_marginal of z, [3, 5], is [3, 5]; log P of z is one number"),
        "kept axis": (partial(LAST, keepdim=True), LAST, "log_marginal of z, [3, 5], is [3, 1]"),
        "no tensor": (lambda terms: 1.0, LAST, "is float"),
        "whole numbers": (lambda terms: LAST(terms).long(), LAST, "is int64, and must be floats"),
        "no gradient": (LAST, lambda terms: LAST(terms).detach(), "log_prob of Step has no gradient"),
        "a table with an axis more": (LAST, lambda terms: LAST(terms, keepdim=terms.ndim > 2), "is [3, 2, 2]; it is a"),
    }.values(),
)
def test_densities_of_latents_and_of_combinations_are_tried(marginal, both, said):
    Step(LAST, LAST).require_promised(5)
    Step(lambda terms: None, partial(torch.sum, dim=1)).require_promised(5)  # no table is asked of it
    with pytest.raises(PartError, match="^prior: ") as error:
        Step(marginal, both).require_promised(5)
    assert said in str(error.value)


class Own(Critic):
    def __init__(self, table, pairs):
        super().__init__()
        self.own_table, self.own_pairs = table, pairs

    def table(self, z, z_prime):
        return self.own_table(z, z_prime)

    def pairs(self, z, z_prime):
        return self.own_pairs(z, z_prime)


PRODUCT, ALONG = (lambda z, z_prime: z @ z_prime.T), (lambda z, z_prime: (z * z_prime).sum(1))


@pytest.mark.parametrize(
    "table, pairs, said",
    {
        "transposed": (lambda z, z_prime: z_prime @ z.T, ALONG, "Own.table of z, [3, 4], and z', [2, 4], is [2, 3]"),
        "a table of the pairs": (
            PRODUCT,
            PRODUCT,
            "Own.pairs of z, [2, 4], and z', [2, 4], is [2, 2], and must be [2]",
        ),
        "nothing": (PRODUCT, lambda z, z_prime: None, "is NoneType"),
        "complex numbers": (
            PRODUCT,
            lambda *both: ALONG(*both) * 1j,
            "Own.pairs gives complex64, and must give floats",
        ),
    }.values(),
)
def test_scores_of_a_critic_are_tried(table, pairs, said):
    require_scores(Own(PRODUCT, ALONG), 4, "critic")
    with pytest.raises(PartError, match="^critic: ") as error:
        require_scores(Own(table, pairs), 4, "critic")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "views, said",
    {
        "one tensor": (lambda x: x, "must return a tuple of tensors, x and x', got a Tensor"),
        "nothing": (lambda x: None, "got a NoneType"),
        "arrays": (lambda x: (x.numpy(), x.numpy()), "got a tuple of ndarray, ndarray"),
        "another shape": (
            lambda x: (x, x[:, :2]),
            "gives [8, 2] float32 for 8 samples, and must",
        ),
        "fewer rows": (lambda x: (x[:3], x), "gives [3, 4]"),
        "another type": (lambda x: (x.double(), x), "gives [8, 4] float64"),
        "no view": (lambda x: (), "gives 0 views, and must give 2, as `shapes` says"),
        "fewer views": (lambda x: (x,), "gives 1 view, and must give 2, as `shapes` says"),
        "more views": (lambda x: (x, x, x), "gives 3 views, and must give 2, as `shapes` says"),
    }.values(),
)
def test_views_of_another_kind_than_promised_are_a_line(views, said):
    class Own(Pairs):
        def __call__(self, batch, generator):
            return views(batch.x)

    with pytest.raises(PartError, match="^pairs: Own ") as error:
        require_promised(Own(), Data(*[Split(X, Y)] * 3))
    assert said in str(error.value)


def test_a_density_that_is_the_same_everywhere_needs_no_gradient():
    Step(lambda terms: LAST(terms).detach() * 0, lambda terms: LAST(terms).detach() * 0).require_promised(5)


def test_chance_from_elsewhere_than_the_generator_is_told_of(caplog):
    class Own(Pairs):
        def __init__(self, own):
            self.own = own

        def __call__(self, batch, generator):
            return batch.x + torch.rand(batch.x.shape, generator=generator if self.own else None), batch.x

    require_promised(Own(True), Data(*[Split(X, Y)] * 3))
    assert not caplog.text
    require_promised(Own(False), Data(*[Split(X, Y)] * 3))
    assert "pairs: Own gives other views for the same generator" in caplog.text


@pytest.mark.parametrize("value, said", [(None, "NoneType"), (1.0, "float"), (Y, "[12]"), ((X, 1), "tuple")])
def test_an_estimator_that_gives_no_number_is_a_line(value, said):
    class Own(ScoreEstimator):
        name = "own"

        def forward(self, scores):
            return value

    with pytest.raises(PartError) as error:
        Own()(DenseScores(torch.zeros(3, 3)))
    assert str(error.value) == f"estimator: what Own gives is {said}, and not one number, []"


def test_an_entropy_without_a_gradient_is_a_line_whatever_the_gradient_of_log_p():
    class Own(EntropyEstimator):
        name = "own"

        def forward(self, z, **known):
            return z.var(0).log().sum().detach()

    z = X.clone().requires_grad_()
    with pytest.raises(PartError, match="what Own gives has no gradient"):
        Step(LAST, LAST).elbo(Own(), Encoded((z, z), (None, None)))
    Step(LAST, LAST).elbo(Own(), Encoded((X, X), (None, None)))  # of an evaluation nothing is trained


def test_a_backbone_through_which_no_gradient_passes_is_told_of(caplog):
    class Own(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    encoder = Encoder(shape=(4,), backbone=Own(4, 8), latent_dim=2, projector=[])
    objective = Objective(encoder=encoder, encoder_prime=None, prior=Step(LAST, LAST), estimator=LogDet())
    (-objective(X, X + 1)).backward()
    warn_of_unreached(objective)
    assert caplog.messages == ["no gradient reaches encoder.backbone.weight, encoder.backbone.bias: not trained"]


def test_an_estimator_without_a_gradient_is_a_line():
    with pytest.raises(PartError, match="what InfoNCE gives has no gradient"):
        require_gradient(InfoNCE(), X.sum())
    assert require_gradient(InfoNCE(), X.sum().requires_grad_()).requires_grad


@pytest.mark.parametrize(
    "out_dim, answer, said",
    [
        (9, lambda h: h, "backbone: out_dim is 9, and the features have 8 columns"),
        (8, lambda h: h[:, :, None], "returns [2, 8, 1] for B = 2"),
        (8, lambda h: h[:1], "returns [1, 8] for B = 2"),
        (None, lambda h: h[:, :0], "returns [2, 0] for B = 2"),
        ("8", lambda h: h, "out_dim is '8', and the features have 8 columns"),
        (8, lambda h: h.double(), "its features must be float32, and are float64"),
    ],
)
def test_what_a_backbone_says_of_its_features_is_tried(out_dim, answer, said):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out_dim = torch.nn.Linear(4, 8), out_dim

        def forward(self, x):
            return answer(self.layer(x))

    with pytest.raises(UserError) as error:
        features_dim(Own(), (4,), "backbone")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "text, name, said",
    [
        ("raise ValueError('at import')", "Own", "importing it raised ValueError: at import"),
        ("raise AttributeError('at import')", "Own", "importing it raised AttributeError: at import"),
        ("def f(:", "Own", "importing it raised SyntaxError"),
        (
            "import nowhere_at_all",
            "Own",
            "importing it raised ModuleNotFoundError: No module named 'nowhere",
        ),
        ("class Owner: pass", "Ownr", "no such class or function can be imported; did you mean 'Owner'?"),
        ("Own = 3", "Own", "is neither a class nor a function"),
    ],
)
def test_a_target_that_cannot_be_had_says_why(text, name, said, tmp_path, monkeypatch):
    module = f"own_{abs(hash(text))}"
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as error:
        check({"_target_": f"{module}.{name}"}, "estimator")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "keys, said",
    [
        ({}, "dataset has no keys; its YAML file says what to build, as _target_: my_parts.Name"),
        ({"_target": "a.B", "std": 1}, "dataset has _target; did you mean '_target_'?"),
        ({"std": 1}, "dataset has std, but no _target_ that says what to build; these keys are of another choice"),
    ],
)
def test_a_yaml_file_that_names_nothing_to_build_says_what_is_missing(keys, said):
    with pytest.raises(UserError) as error:
        check(keys, "dataset")
    assert str(error.value).startswith(said)
