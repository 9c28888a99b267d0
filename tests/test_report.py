"""`ssvae report`: means and deviations over seeds, settings kept apart, and one file that says it all.

1. Runs that differ in the seed alone are one row; its numbers are the mean and the sample deviation.
2. Ordinary VAEs stand in a separate table.
3. What came from a run is escaped; a run that was stopped is named and left out.
"""

import csv
import json
import statistics

import pytest
from matplotlib.figure import Figure

from helpers import refused, ssvae
from ssvae_cli.report import cell, mean_and_deviation, spread_out


def a_run(folder, overrides, config, **summary):
    """A finished run's folder as `ssvae train` leaves it, without the training."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {o}\n" for o in overrides))
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    lines = [{"epoch": e, "step": e, "elbo/validation": summary["elbo/test"] * e / 2} for e in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def sweep(tmp_path):
    for i, (prior, seed) in enumerate((p, s) for p in ("infonce", "<mi>") for s in (0, 1, 2)):
        config = {"seed": seed, "prior": {"_target_": prior}, "decoder": None}
        twice = ["trainer.epochs=1", f"seed={seed}", "trainer.epochs=2", "prior=vmf", f"prior={prior}"]
        a_run(tmp_path / "sweep" / str(i), twice, config,
              **{"elbo/test": 2.0 + 0.1 * i, "probe/linear/test": 0.9, "kl/test": None})  # fmt: skip
    config = {"seed": 0, "prior": {"_target_": "normal"}, "decoder": {"width": 8}}
    a_run(tmp_path / "sweep" / "6", ["decoder=conv", "trainer.epochs=2"], config,
          **{"elbo/test": -90.0, "probe/linear/test": 0.8, "kl/test": None})  # fmt: skip
    return tmp_path / "sweep"


METRICS = "metrics=[elbo/test,probe/linear/test,kl/test]"


def test_seeds_are_averaged_and_settings_kept_apart(sweep, tmp_path):
    assert ssvae("report", f"runs={sweep}", METRICS, f"hydra.run.dir={tmp_path}/out") == 0
    with open(tmp_path / "out" / "table.csv") as file:
        rows = {row["setting"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"prior=infonce", "prior=<mi>", "decoder=conv"}
    for prior, values in {"infonce": [2.0, 2.1, 2.2], "<mi>": [2.3, 2.4, 2.5]}.items():
        row = rows[f"prior={prior}"]
        assert row["runs"] == "3" and row["kl/test mean"] == ""
        assert float(row["elbo/test mean"]) == pytest.approx(statistics.fmean(values))
        assert float(row["elbo/test deviation"]) == pytest.approx(statistics.stdev(values))


def test_the_page_is_whole_escaped_and_ranks_no_ordinary_vae_with_an_ssvae(sweep, tmp_path):
    assert ssvae("report", f"runs={sweep}", METRICS, f"hydra.run.dir={tmp_path}/out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<mi>" not in page and "prior=&lt;mi&gt;" in page
    assert "src='http" not in page and page.count("data:image/png;base64,") >= 2
    ours, vae = page.split("Ordinary VAEs")
    assert "2.1000 ± 0.1000" in ours and "-90.0" in vae and "-90.0" not in ours


def test_a_stopped_run_is_named_and_left_out(sweep, tmp_path, capfd):
    (sweep / "0" / "summary.json").unlink()
    assert ssvae("report", f"runs={sweep}", METRICS, f"hydra.run.dir={tmp_path}/out") == 0
    out, err = capfd.readouterr()
    assert f"{sweep / '0'} is not finished" in err and "resume=" in err
    assert "6 runs, 3 settings" in err


@pytest.mark.parametrize(
    "overrides, said",
    {
        "none given": ([], "runs has no default"),
        "nowhere": (["runs=nowhere"], "no such folder"),
        "no run": (["runs=."], "no finished run"),
        "of another command": (["runs=../mi"], "no finished run of ssvae train"),
        "unknown metric": (["runs={sweep}", "metrics=[elbo/tst]"], "did you mean 'elbo/test'"),
    }.values(),
)
def test_bad_input_is_one_line(overrides, said, sweep, tmp_path, monkeypatch, capfd):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mi").mkdir()
    (tmp_path / "mi" / "summary.json").write_text('{"mi/infonce/test": 1.0}')
    monkeypatch.chdir(tmp_path / "empty")
    assert said in refused(capfd, "report", *(o.format(sweep=sweep) for o in overrides))
    assert not [p for p in (tmp_path / "empty").rglob("*") if p.is_file()]


def test_a_single_run_has_no_deviation():
    assert mean_and_deviation([1.5]) == (1.5, None) and cell((1.5, None)) == "1.5000"
    assert mean_and_deviation([None]) is None and cell(None) == "–"


@pytest.mark.parametrize("far, scale", [(-5.0, "linear"), (-32.0, "symlog")])
def test_elbos_far_apart_stand_on_a_logarithmic_axis(far, scale):
    axis = Figure().subplots()
    axis.plot([far, 2.6, 2.0])
    spread_out(axis.yaxis, [far, 2.6, 2.0])
    assert axis.get_yscale() == scale and axis.get_xscale() == "linear"
