"""A setting that is given and would not be read is refused in a line, before anything is written.

1. Where the command, or another setting, takes its place: by the words alone.
2. Where what is composed leaves nothing that reads it; in a sweep, where no job reads it.
3. What is read, or given by a preset, is no mistake.
"""

import itertools
import shlex

import pytest
import torch

from helpers import composed, refused
from ssvae_cli.cli.unread_keys import has_fixed_law, is_of_one_view, refuse_unread_settings
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.groups import choices
from ssvae_cli.objective import make_prior
from ssvae_cli.optimizers import SGD

PRIOR_LR = "optimizer.prior_lr=5"
REFUSED = {
    "train optimizer.prior_lr=5": "optimizer.prior_lr=5: no parameter of the prior learns at that rate; leave it out",
    "train prior=unstructured_normal optimizer.prior_lr=5": "optimizer.prior_lr=5: no parameter of the prior learns",
    "train prior=gaussian prior.learn=false optimizer.prior_lr=5": "prior_lr=5: no parameter of the prior learns",
    "train prior=predictor prior.noise=fixed optimizer.prior_lr=5": "prior_lr=5: no parameter of the prior learns",
    "train -m optimizer.prior_lr=1,5": "optimizer.prior_lr=1: no parameter of the prior learns at that rate",
    "train evaluation=none trainer.eval_every=1": "trainer.eval_every=1: evaluation has no metric, and nothing is read",
    "train evaluation=none evaluation.rows=9": "evaluation.rows=9: evaluation has no metric",
    "train evaluation=none evaluation.test=true": "evaluation.test=true: evaluation has no metric",
    "train sweep.metric=elbo/validation": "sweep.metric=elbo/validation: a search alone goes by it",
    "train -m seed=0,1 sweep.metric=elbo/validation": "sweep.metric=elbo/validation: a search alone goes by it",
    "train dataset=balls pairs.times=3": "pairs.times=3: candidates are of other sequences, with pairs.negatives=",
    "train sweep.dry_run=true": "give -m as well",
    "train decoder=conv encoder_prime=ema": "encoder_prime=ema: the prior is of one x, without an x'; leave it out",
    "train prior=unstructured_normal pairs.views=3": "pairs.views=3: the prior is of one x, without an x'",
    "train prior=unstructured_sphere encoder@encoder_prime=mlp": "encoder@encoder_prime=mlp: the prior is of one x",
    "bench prior=unstructured_laplace pairs.views=4": "pairs.views=4: the prior is of one x",
    "runs format=json metrics=elbo/test": "metrics=elbo/test: with format=json every number is printed; leave it out",
    "eval run=RUN evaluation.test=false": "evaluation.test=false: validation and test are read in any case",
    "mi estimators.{infonce,nwj,dv,smile}=null training.steps=5": "training.steps=5: no estimator is left",
    "mi estimators.{infonce,nwj,dv,smile}=null prior/critic@critic=mlp": "=mlp: no estimator is left, nor a critic",
}


def words_of(line):
    """As a shell divides it, braces expanded."""
    for word in shlex.split(line):
        before, brace, rest = word.partition("{")
        inside, _, after = rest.partition("}")
        yield from (f"{before}{name}{after}" for name in inside.split(",")) if brace else [word]


@pytest.mark.parametrize("line", REFUSED)
def test_a_setting_that_is_not_read_is_refused(line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    said = refused(capfd, *words_of(line))
    assert REFUSED[line] in said
    assert not list(tmp_path.iterdir())


def jobs(*of_jobs):
    return "train", [(composed(*overrides), list(overrides)) for overrides in of_jobs]


READ = {
    "by the prior": [["prior=gaussian", PRIOR_LR]],
    "by a network of a prior whose law is fixed": [["prior=vmf", "prior.learn=false", "prior.predictor=[4]", PRIOR_LR]],
    "by one of two jobs": [["prior=infonce", PRIOR_LR], ["prior=gaussian", PRIOR_LR]],
    "by a preset's prior": [["experiment=claims/nuisance", "optimizer.prior_lr=2"]],
    "as it is without": [["evaluation=none", "evaluation.test=false", "optimizer.prior_lr=auto"]],
    "g' by one of two jobs": [["prior=unstructured_normal", "encoder_prime=ema"], ["encoder_prime=ema"]],
    "g' as it is without": [["prior=unstructured_normal", "encoder_prime=shared", "pairs.views=2"]],
    "no job": [],
}


@pytest.mark.parametrize("name", READ)
def test_a_setting_that_is_read_is_none(name):
    refuse_unread_settings(*jobs(*READ[name]))


ALTERNATIVES = {"learn": ("true", "false"), "noise": ("fixed", "learned", "predicted"), "predictor": ("null", "[4]")}


@pytest.mark.parametrize("name", choices("prior"))
def test_of_each_prior_it_is_said_beforehand_whether_a_parameter_learns_at_prior_lr(name):
    """By the settings on which it may depend; a number called noise is none."""
    of_prior = composed(f"prior={name}").prior
    asked = [key for key in ALTERNATIVES if key in of_prior and not isinstance(of_prior[key], float)]
    for values in itertools.product(*(ALTERNATIVES[key] for key in asked)):
        config = composed(f"prior={name}", *(f"prior.{key}={value}" for key, value in zip(asked, values)))
        parameters = make_prior(config, views=2).own_parameters()
        assert has_fixed_law(config) == (not any(p.requires_grad for p in parameters)), values


@pytest.mark.parametrize("name", choices("prior"))
def test_of_each_prior_it_is_said_beforehand_whether_it_is_of_one_x(name):
    config = composed(f"prior={name}")
    assert is_of_one_view(config) == (make_prior(config, views=2).views == 1)


@pytest.mark.parametrize("groups, unread", [({}, False), ({"bias": 1.0}, False), ({"*": 1.0}, True)])
def test_the_log_says_where_no_parameter_of_a_prior_of_ones_own_learns_at_prior_lr(groups, unread):
    layer = torch.nn.Linear(2, 2)
    made = lambda: SGD(lr=0.1, weight_decay=0.0, warmup=0.0, clip=None, momentum=0.0, prior_lr=5.0, groups=groups)
    notes = {len(own): made().attach([layer], 4, of_prior=own).notes() for own in ([], [*layer.parameters()])}
    said = "optimizer.prior_lr=5.0 is not read: no parameter of the prior learns at that rate"
    assert notes == {0: [said], 2: [said] if unread else []}


def test_what_a_preset_gives_is_refused_to_nobody():
    refuse_unread_settings("train", [(composed("evaluation=none", "trainer.eval_every=1"), ["evaluation=none"])])


def test_a_setting_that_no_job_reads_is_refused():
    with pytest.raises(UserError, match="^optimizer.prior_lr=5: "):
        refuse_unread_settings(*jobs(*([f"prior={prior}", PRIOR_LR] for prior in ("mi", "infonce"))))
