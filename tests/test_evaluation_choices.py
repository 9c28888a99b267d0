"""evaluation=none, quick and full: what a run reads, and what it costs.

1. Every run's summary has the same keys; what was not read is null, with the reason.
2. quick reads validation alone, of at most `rows` samples of each split; none reads nothing. Both save the run.
3. A search reads validation alone, whatever its evaluation, and goes by a number of validation.
4. A run that read nothing is evaluated later; a report shows what it has.
"""

import json

import pytest
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from helpers import PENALTY, composed, refused, ssvae, train
from ssvae_cli import train as training
from ssvae_cli.datasets.base import CONTRACT
from ssvae_cli.errors import UserError
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.evaluation.rows import fewer
from ssvae_cli.instantiate.build import build
from ssvae_cli.report.command import columns
from ssvae_cli.report.runs import find_runs


@pytest.fixture(scope="module", params=["none", "quick"])
def unread(request, tmp_path_factory):
    """(choice, run, the splits that were read) of a run that does not read test."""
    run, splits = tmp_path_factory.mktemp(request.param) / "run", set()
    with pytest.MonkeyPatch.context() as patched:
        for name in ("_clean", "_latents"):
            read = getattr(Reading, name)
            patched.setattr(
                Reading, name, lambda self, split, *rest, read=read: splits.add(split) or read(self, split, *rest)
            )
        train(run, f"evaluation={request.param}", "trainer.epochs=1")
    return request.param, run, splits


def summary(run):
    return json.loads((run / "summary.json").read_text())


def test_the_summary_has_the_keys_of_every_run_and_says_why_they_are_null(unread, finished):
    _, run, _ = unread
    values, reasons = summary(run), json.loads((run / "reasons.json").read_text())
    assert values.keys() == summary(finished).keys()
    assert values["elbo/test"] is values["probe/linear/test"] is values["eq23/residual"] is None
    assert "ssvae eval RUN evaluation=full" in reasons["elbo/test"] and values["time/train_s"] > 0


def test_test_is_not_read(unread):
    choice, run, splits = unread
    assert splits == (set() if choice == "none" else {"train", "validation"})
    (line,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    of_validation = {key for key in line if key.endswith("/validation") and line[key] is not None}
    assert {"elbo/validation", "probe/linear/validation"} <= of_validation or choice == "none" and not of_validation


def test_the_run_is_saved(unread):
    choice, run, _ = unread
    assert (run / "encoder.safetensors").exists() and (run / "checkpoints" / "last.pt").exists()
    for picture in ("curves", "pairs"):
        assert (run / "figures" / f"{picture}.png").exists() == (choice == "quick")


def test_such_a_run_is_evaluated_later(unread, tmp_path, capfd):
    choice, run, _ = unread
    if choice == "quick":
        return
    assert "its evaluation has no metric; give evaluation=full or" in refused(capfd, "eval", f"run={run}")
    settings = ["evaluation=quick", "evaluation.rows=100", "evaluation.fitting_pairs=500", PENALTY, "training.steps=10"]
    assert ssvae("eval", f"run={run}", *settings, f"hydra.run.dir={tmp_path}") == 0
    assert summary(tmp_path)["elbo/test"] is not None


def test_a_report_shows_what_was_read(unread):
    choice, run, _ = unread
    (found,), _ = find_runs([run])
    shown = columns(None, [found])
    assert ("elbo/validation" in shown) == (choice == "quick") and "elbo/test" not in shown and "kl/test" not in shown


def test_the_budget_bounds_the_samples_of_each_split():
    data = fewer(build(composed().dataset, "dataset", CONTRACT, fitted={}), 300)
    assert [len(split) for split in data.splits.values()] == [300, 200, 300]


def test_a_budget_of_one_sample_is_refused():
    with pytest.raises(UserError, match="evaluation.rows must be at least 2"):
        build(composed("evaluation.rows=1").evaluation, "evaluation")


@pytest.fixture
def searching(monkeypatch):
    """The words that make a sweep a search; its jobs end at once."""
    plain = Plugins.instance().class_name_to_class["hydra._internal.core_plugins.basic_sweeper.BasicSweeper"]
    searching = type("Search", (plain,), {"__module__": __name__})
    monkeypatch.setitem(globals(), "Search", searching)
    monkeypatch.setitem(Plugins.instance().class_name_to_class, "hydra_plugins.of_a_test.Search", searching)

    def job(config, folder, choices):
        (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "probe/linear/validation": 0.9}) + "\n")
        (folder / "summary.json").write_text("{}")

    monkeypatch.setattr(training, "train", job)
    return ["-m", "hydra.sweeper._target_=hydra_plugins.of_a_test.Search", "seed=0,1"]


def test_a_search_reads_validation_alone(searching, tmp_path):
    assert ssvae("train", *searching, f"hydra.sweep.dir={tmp_path}/search") == 0
    jobs = list((tmp_path / "search").glob("*/.hydra/config.yaml"))
    assert len(jobs) == 2 and not any(OmegaConf.load(job).evaluation.test for job in jobs)


@pytest.mark.parametrize(
    "given, said",
    {
        "a number of test": ("sweep.metric=probe/linear/test", "a search goes by a number of validation"),
        "a number of training": ("sweep.metric=elbo/train", "a search goes by a number of validation"),
        "test is asked for": ("evaluation.test=true", "a search reads validation alone"),
        "nothing is read": ("evaluation=none", "evaluation has no metric for a search to go by"),
    }.values(),
)
def test_a_search_that_would_go_by_test_or_by_nothing_is_refused(searching, given, said, tmp_path, capfd):
    assert said in refused(capfd, "train", *searching, given, f"hydra.sweep.dir={tmp_path}/search")
    assert not (tmp_path / "search").exists()


def test_the_elbo_is_split_into_i_and_kl_over_the_epochs_on_request(tmp_path):
    asked = ["+metric@evaluation.metrics.elbo_parts=elbo_parts", "evaluation.metrics.elbo_parts.critic_fit.steps=5"]
    asked += ["evaluation.fitting_pairs=500", "evaluation.metrics.probe=null"]
    train(tmp_path / "run", "evaluation=quick", *asked)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        parts = line["mi/fresh/validation"] - line["kl/validation"]
        assert parts == pytest.approx(line["elbo/validation"], abs=1e-5)
    assert len(lines) == 2 and (tmp_path / "run" / "figures" / "curves.png").exists()


def test_two_metrics_of_one_kind_are_refused_before_anything_is_trained(tmp_path, capfd):
    line = refused(capfd, "train", "metric@evaluation.metrics.factors=clusters", f"hydra.run.dir={tmp_path}/run")
    assert "evaluation.metrics.factors is ClusterAccuracy, as metrics.clusters is" in line
    assert not (tmp_path / "run").exists()
