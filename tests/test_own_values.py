"""What a user's own part gives is held to what its neighbours take, in a line; floats of any width are taken."""

from functools import partial

import pytest
import torch
from omegaconf import OmegaConf

from ssvae_cli.critics import Critic, require_scores
from ssvae_cli.datasets import Data, Split
from ssvae_cli.datasets.base import Factor
from ssvae_cli.datasets.checked import make_data
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
GIVEN: dict[str, Data] = {}


def own() -> Data:
    """What a test gives as a user's data set."""
    return GIVEN["data"]


def made(*splits: Split) -> Data:
    train, validation, test = splits if len(splits) == 3 else splits * 3
    GIVEN["data"] = Data(train, validation, test)
    return make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_floats_of_any_width_become_those_of_the_run_and_labels_int64(dtype):
    data = made(Split(X.to(dtype), Y.int(), x_prime=X.double()))
    assert {split.x.dtype for split in data.splits.values()} == {data.train.x_prime.dtype} == {torch.float32}
    assert data.test.y.dtype == torch.int64


def test_bytes_stay_bytes():
    assert made(Split((255 * torch.rand(12, 1, 8, 8)).byte(), Y)).train.x.dtype == torch.uint8


@pytest.mark.parametrize(
    "splits, said",
    {
        "integers": ([Split(Y[:, None], Y)], "x of train must be a tensor of uint8 (images) or of floats, got int64"),
        "booleans": ([Split(X > 0.5, Y)], "got bool"),
        "complex": ([Split(X.to(torch.complex64), Y)], "got complex64"),
        "an array": ([Split(X.numpy(), Y)], "got ndarray"),
        "x' of integers": ([Split(X, Y, x_prime=Y[:, None])], "x_prime of train must be a tensor of uint8"),
        "no axis": ([Split(X[:, 0], Y)], "x of train must be [N, ...], with at least one sample, got [12]"),
        "an empty test": ([Split(X, Y), Split(X, Y), Split(X[:0], Y[:0])], "x of test must be [N, ...]"),
        "x' of fewer": ([Split(X, Y, x_prime=X[1:])], "x_prime of train has 11 samples, and x 12"),
        "labels as floats": ([Split(X, Y.float())], "y of train must be a tensor of integers, [12], -1 for"),
        "no labels": ([Split(X, None)], "got NoneType"),
        "labels of fewer": ([Split(X, Y[1:])], "got int64 [11]"),
        "labels as columns": ([Split(X, Y[:, None])], "got int64 [12, 1]"),
        "labels as an array": ([Split(X, Y.numpy())], "got ndarray"),
        "labels below -1": (
            [Split(X, Y - 2)],
            "y of train must be at least 0, or -1 for a sample without a label, got -2",
        ),
        "factors of fewer": ([Split(X, Y, factors=X[1:])], "factors of train must be a tensor of floats"),
        "lengths as floats": ([Split(X, Y, length=Y + 1.0)], "length of train must be a tensor of int64, [12], from 1"),
        "a length beyond the steps": ([Split(X, Y, length=Y + 3)], "from 1 to the 4 steps of x"),
        "NaN": ([Split(X.log(), Y), Split(X, Y), Split(0 * X / 0, Y)], "x of test has values that are NaN, infinite"),
        "beyond float32": ([Split(X.double() * 1e300, Y)], "x of train has values that are NaN, infinite or beyond"),
        "two shapes": ([Split(X, Y), Split(X[:, :2], Y), Split(X, Y)], "validation [2] float32, test [4]"),
    }.values(),
)
def test_data_of_another_kind_are_a_line(splits, said):
    with pytest.raises(PartError, match="^dataset: ") as error:
        made(*splits)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "factors, said",
    {
        "no names": ((), "a tensor of floats, a column for each of 0 names, got float32 [12, 2]"),
        "words": (("size", "hue"), "a tuple of Factor of ssvae_cli.datasets.base, got ('size', 'hue')"),
        "one name twice": ((Factor("size"), Factor("size")), "different names, got ['size'] more than once"),
        "a name of a group": ((Factor("style"), Factor("hue", group="style")), "got ['style'] more than once"),
    }.values(),
)
def test_factors_without_a_name_of_their_own_are_a_line(factors, said):
    split = Split(X, Y, factors=X[:, :2])
    GIVEN["data"] = Data(split, split, split, factors=factors)
    with pytest.raises(PartError) as error:
        make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))
    assert said in str(error.value)


def test_a_label_beyond_the_names_of_the_classes_is_a_line():
    split = Split(X, Y)
    GIVEN["data"] = Data(split, split, split, classes=("one", "two"))
    with pytest.raises(PartError, match="y of train must be below 2, the number of classes that have a name, got 2"):
        make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))


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
        "fewer views": (lambda x: (x,), "gives 1 views, and must give 2, as `shapes` says"),
        "more views": (lambda x: (x, x, x), "gives 3 views, and must give 2, as `shapes` says"),
    }.values(),
)
def test_views_of_another_kind_than_promised_are_a_line(views, said):
    class Own(Pairs):
        def __call__(self, batch, generator):
            return views(batch.x)

    with pytest.raises(PartError, match="^pairs: Own ") as error:
        require_promised(Own(), made(Split(X, Y)))
    assert said in str(error.value)


def test_a_density_that_is_the_same_everywhere_needs_no_gradient():
    Step(lambda terms: LAST(terms).detach() * 0, lambda terms: LAST(terms).detach() * 0).require_promised(5)


def test_chance_from_elsewhere_than_the_generator_is_told_of(caplog):
    class Own(Pairs):
        def __init__(self, own):
            self.own = own

        def __call__(self, batch, generator):
            return batch.x + torch.rand(batch.x.shape, generator=generator if self.own else None), batch.x

    require_promised(Own(True), made(Split(X, Y)))
    assert not caplog.text
    require_promised(Own(False), made(Split(X, Y)))
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
