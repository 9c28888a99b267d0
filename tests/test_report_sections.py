"""What `ssvae report` compares: a data set is a section; the ELBO of ordinary VAEs and of unstructured priors stands
apart, and that of other pairs, or of other training estimators, is not ranked."""

import json

from fake_runs import a_run, sections, table
from helpers import ssvae
from ssvae_cli.report.tables import HIGHEST


def test_a_data_set_is_a_section_and_so_is_a_kind_of_model(tmp_path):
    for i, dataset in enumerate(["digits", "mnist"]):
        a_run(tmp_path / f"a{i}", f"dataset={dataset}", "prior=mi")
        a_run(tmp_path / f"b{i}", f"dataset={dataset}", "prior=unstructured_normal")
    a_run(tmp_path / "c", "dataset=mnist", "dataset.limit=10", "prior=mi")
    a_run(tmp_path / "d", "dataset=digits", "decoder=conv")
    found, _ = sections(tmp_path)
    titles = [section.title.replace(" dataset.limit=null", "") for section in found]
    assert all(section.note[:1].isupper() for section in found if section.note)
    kinds = ["", ": Unstructured SSVAEs", ": Ordinary VAEs"]
    expected = [f"digits{kind}" for kind in kinds] + [f"mnist{kind}" for kind in kinds[:2]]
    assert titles == [*expected, "mnist dataset.limit=10"]
    a_run(tmp_path / "own" / "a", "prior=mine", views=1)
    a_run(tmp_path / "own" / "b", "prior=mi")
    assert [section.title for section in sections(tmp_path / "own")[0]] == ["digits: Unstructured SSVAEs", "digits"]
    one = {setting.number for section in found for setting in section.settings if setting.label.startswith("prior=mi")}
    assert len(one) == 1  # a setting looks the same in the figures of all data sets


def test_elbos_of_different_pairs_are_not_ranked(tmp_path):
    for i, pairs in enumerate(["affine", "noise"]):
        a_run(tmp_path / str(i), f"pairs={pairs}", "prior=mi", **{"probe/linear/test": 0.5 + i})
    (section,), _ = sections(tmp_path)
    ends = {"elbo": HIGHEST, "probe": HIGHEST}
    elbo, probe = table(section, ["elbo/test", "probe/linear/test"], ends=ends).columns
    assert [cell.is_best for cell in elbo.cells] == [False, False] and [c.is_best for c in probe.cells] == [False, True]
    assert "differ in their pairs" in section.note


def test_settings_that_were_not_read_alike_are_named(tmp_path, capsys):
    for i, rows in enumerate([100, 5000]):
        run = a_run(tmp_path / "runs" / str(i), f"prior={('mi', 'vmf')[i]}")
        config = json.loads((run / ".hydra" / "config.yaml").read_text())
        config["evaluation"] = {"rows": rows, "test": bool(i), "metrics": {"knn": {"k": 20}} if i else {}}
        (run / ".hydra" / "config.yaml").write_text(json.dumps(config))
    (section,), _ = sections(tmp_path / "runs")
    assert section.note == "The settings were read under several values of evaluation.rows."
    assert ssvae("report", str(tmp_path / "runs"), f"hydra.run.dir={tmp_path / 'report'}") == 0
    assert f"digits: {section.note}" in " ".join(capsys.readouterr().out.split())


def test_elbos_that_different_estimators_read_are_not_ranked(tmp_path):
    """elbo/validation of an explicit prior is its training estimator's, whose bias is nats; elbo/test is not."""
    read = {"elbo/validation": -3.0, "elbo/test": 1.0}
    for prior, own in {"gaussian": {}, "infonce": {"elbo/validation": 1.0, "mi/infonce/validation": 1.0}}.items():
        brought = {"gaussian": "conditionals"}.get(prior, "infonce")
        a_run(tmp_path / "priors" / prior, f"prior={prior}", f"estimator={brought}", **(read | own))
    for estimator in ("infonce", "eq3"):
        numbers = {"elbo/validation": 1.0, "mi/infonce/validation": 1.0}
        a_run(tmp_path / "scores" / estimator, f"estimator={estimator}", **numbers)
    for where, metric, ranked in (
        ("priors", "elbo/validation", False),
        ("priors", "elbo/test", True),
        ("scores", "elbo/validation", True),
        ("scores", "elbo/train", False),
    ):
        (section,), _ = sections(tmp_path / where)
        assert section.ranks(metric) is ranked, (where, metric)
