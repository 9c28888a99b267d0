"""A setting that is given and would not be read is refused in a line, before anything is written.

1. Where the command, or another setting, takes its place: by the words alone.
2. Where what is composed leaves nothing that reads it; in a sweep, where no job reads it.
3. What is read, or given by a preset, is no mistake.
"""

import shlex

import pytest

from helpers import composed, refused
from ssvae_cli.cli.unread_keys import refuse_unread_settings
from ssvae_cli.errors import UserError

REFUSED = {
    "train optimizer.prior_lr=5": "optimizer.prior_lr=5: the prior has no parameters to learn; leave it out",
    "train prior=unstructured_normal optimizer.prior_lr=5": "optimizer.prior_lr=5: the prior has no parameters",
    "train prior=gaussian prior.learn=false optimizer.prior_lr=5": "optimizer.prior_lr=5: the prior has no parameters",
    "train -m optimizer.prior_lr=1,5": "optimizer.prior_lr=1: the prior has no parameters to learn",
    "train evaluation=none trainer.eval_every=1": "trainer.eval_every=1: evaluation has no metric, and nothing is read",
    "train evaluation=none evaluation.rows=9": "evaluation.rows=9: evaluation has no metric",
    "train evaluation=none evaluation.test=true": "evaluation.test=true: evaluation has no metric",
    "train sweep.metric=elbo/validation": "sweep.metric=elbo/validation: a search alone goes by it",
    "train -m seed=0,1 sweep.metric=elbo/validation": "sweep.metric=elbo/validation: a search alone goes by it",
    "train sweep.dry_run=true": "give -m as well",
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
    "by the prior": [["prior=gaussian", "optimizer.prior_lr=5"]],
    "by one of two jobs": [["prior=infonce", "optimizer.prior_lr=5"], ["prior=gaussian", "optimizer.prior_lr=5"]],
    "by a preset's prior": [["experiment=claims/nuisance", "optimizer.prior_lr=2"]],
    "as it is without": [["evaluation=none", "evaluation.test=false", "optimizer.prior_lr=auto"]],
    "no job": [],
}


@pytest.mark.parametrize("name", READ)
def test_a_setting_that_is_read_is_none(name):
    refuse_unread_settings(*jobs(*READ[name]))


def test_what_a_preset_gives_is_refused_to_nobody():
    refuse_unread_settings("train", [(composed("evaluation=none", "trainer.eval_every=1"), ["evaluation=none"])])


def test_a_setting_that_no_job_reads_is_refused():
    with pytest.raises(UserError, match="^optimizer.prior_lr=5: "):
        refuse_unread_settings(*jobs(*([f"prior={prior}", "optimizer.prior_lr=5"] for prior in ("mi", "infonce"))))
