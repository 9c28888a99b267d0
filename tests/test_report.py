"""`ssvae report`: settings over seeds, what is best and what is within noise.

1. Runs that differ in the seed alone are one row: its mean, deviation, standard error, number of seeds.
2. The best of a column is marked, and what is within noise of it, paired over the seeds; with one seed nothing is.
3. Markdown and LaTeX hold whatever a run was named.
"""

import csv
import json
import math
import re
import statistics

import pytest
from omegaconf import OmegaConf
from scipy.stats import ttest_ind, ttest_rel

from fake_runs import a_run, sections, table
from helpers import refused
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.report.command import columns, report
from ssvae_cli.report.comparison import estimate, is_within_noise
from ssvae_cli.report.facts import facts
from ssvae_cli.report.labels import ignored
from ssvae_cli.report.latex import escaped as latex_escaped
from ssvae_cli.report.markdown import escaped as markdown_escaped
from ssvae_cli.report.runs import find_runs
from ssvae_cli.report.tables import HIGHEST, LOWEST, end_of, letter, prior_table


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_a_row_is_the_mean_over_seeds_and_its_spread(reported):
    found = {row["setting"]: row for row in rows(reported[1] / "table.csv") if row["kind"] == "SSVAEs"}
    assert set(found) == {"prior=infonce", "prior=<mi>", "prior=vmf"}
    values = [2.0, 2.1, 2.3]
    row = found["prior=infonce"]
    assert row["runs"] == row["elbo/test runs"] == "3" and row["kl/test mean"] == row["kl/test missing"] == ""
    assert float(row["elbo/test mean"]) == pytest.approx(statistics.fmean(values))
    assert float(row["elbo/test deviation"]) == pytest.approx(statistics.stdev(values))
    assert float(row["elbo/test standard error"]) == pytest.approx(statistics.stdev(values) / math.sqrt(3))
    assert [r["state"] for r in rows(reported[1] / "runs.csv")].count("finished") == 10


def test_the_best_is_marked_and_what_is_within_noise_of_it(reported):
    found = rows(reported[1] / "table.csv")
    assert found[-1]["kind"].startswith("Ordinary") and found[-1]["elbo/test verdict"] == ""
    verdicts = {row["setting"]: row["elbo/test verdict"] for row in found[:-1]}
    assert verdicts["prior=vmf"] == "best" and verdicts["prior=<mi>"] == "within noise of the best"
    assert verdicts["prior=infonce"] == ""
    markdown = (reported[1] / "report.md").read_text()
    assert "**2.64 ± 0.17**" in markdown and "2.63 ± 0.15†" in markdown and "| 2.13 ± 0.15 |" in markdown
    latex = (reported[1] / "tables.tex").read_text()
    assert r"$\mathbf{2.64} \pm 0.17$" in latex and r"$2.63 \pm 0.15^{\dagger}$" in latex


X, Y = {0: 1.0, 1: 2.0, 2: 4.0}, {0: 0.8, 1: 1.9, 2: 3.7}


def test_the_comparison_is_scipys_paired_test_and_welchs_where_no_seeds_are_shared():
    p = ttest_rel(list(X.values()), list(Y.values())).pvalue
    assert is_within_noise(X, Y, 1 - 0.99 * p) and not is_within_noise(X, Y, 1 - 1.01 * p)
    other = {seed + 10: value - 3 for seed, value in Y.items()}
    p = ttest_ind(list(X.values()), list(other.values()), equal_var=False).pvalue
    assert is_within_noise(X, other, 1 - 0.99 * p) and not is_within_noise(X, other, 1 - 1.01 * p)


@pytest.mark.parametrize(
    "x, y, within",
    {
        "one seed each": ({0: 1.0}, {0: 2.0}, None),
        "one shared seed, one more": ({0: 1.0, 1: 2.0}, {0: 2.0}, None),
        "always the same difference": ({0: 1.0, 1: 2.0}, {0: 1.5, 1: 2.5}, False),
        "equal": ({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}, True),
        "constant, other seeds": ({0: 1.0, 1: 1.0}, {2: 2.0, 3: 2.0}, False),
    }.values(),
)
def test_the_comparison_says_nothing_where_nothing_tells_the_noise(x, y, within):
    assert is_within_noise(x, y, 0.95) is within


def test_a_single_value_has_no_spread():
    assert estimate([1.5]) == (1.5, None, 1) and estimate([1.5]).standard_error is None and estimate([]) is None


def test_the_best_end_is_that_of_the_most_specific_entry():
    ends = {"elbo": HIGHEST, "elbo/train": LOWEST, "time": LOWEST}
    found = {"elbo/test": HIGHEST, "elbo/train": LOWEST, "time/train_s": LOWEST, "kl/test": None, "seed": None}
    assert {metric: end_of(metric, ends) for metric in found} == found


def test_a_standard_error_has_a_best_only_where_it_is_named_itself_or_is_a_metric_of_the_users_own():
    ends = {"elbo": HIGHEST, "mine": LOWEST}
    assert [end_of(name, ends) for name in ("elbo/test/error", "elbo/test", "mine/error")] == [None, HIGHEST, LOWEST]
    assert end_of("elbo/test/error", ends | {"elbo/test/error": LOWEST}) == LOWEST


def test_an_accuracy_of_clusters_has_a_best_and_their_number_has_none():
    usual = OmegaConf.load(conf() / "report.yaml")
    ends = dict.fromkeys(usual.highest, HIGHEST)
    assert [end_of(f"clusters/{name}/test", ends) for name in ("accuracy", "used")] == [HIGHEST, None]


def test_a_setting_alone_is_no_best(tmp_path):
    a_run(tmp_path / "0", "prior=mi")
    (section,) = sections(tmp_path)[0]
    assert not table(section).columns[0].cells[0].is_best


def test_settings_are_named_by_what_varies_defaults_included(tmp_path):
    a_run(tmp_path / "0")
    a_run(tmp_path / "1", "prior=mi")
    a_run(tmp_path / "2", "prior=mi", "encoder.width=32", "seed=4")
    (section,) = sections(tmp_path)[0]
    assert [s.label for s in section.settings] == ["prior=infonce", "prior=mi", "prior=mi encoder.width=32"]


def test_settings_that_no_override_tells_apart_are_told_apart_by_their_configuration(tmp_path):
    for i, width in enumerate((8, 16)):
        path = a_run(tmp_path / str(i), "prior=mi") / ".hydra" / "config.yaml"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"optimizer": {"lr": width}}))
    (section,) = sections(tmp_path)[0]
    assert [s.label for s in section.settings] == ["prior=mi optimizer.lr=8", "prior=mi optimizer.lr=16"]


def test_where_numbers_go_is_no_setting(tmp_path):
    for seed, kept in enumerate((None, "elbo/validation")):
        hydra = a_run(tmp_path / str(seed), "prior=mi", f"seed={seed}") / ".hydra"
        more = {"trackers": {"tensorboard": {"_target_": "a"}} | ({"mlflow": {"folder": "b"}} if kept else {})}
        config = json.loads((hydra / "config.yaml").read_text())
        config["trainer"]["keep_best"] = kept
        (hydra / "config.yaml").write_text(json.dumps(config | more))
        added = ["+tracker@trackers.mlflow=mlflow", f"trainer.keep_best={kept}"] if kept else []
        (hydra / "overrides.yaml").write_text(json.dumps(["prior=mi", f"seed={seed}", *added]))
    (section,) = sections(tmp_path)[0]
    assert [(s.label, len(s.runs)) for s in section.settings] == [("prior=mi", 2)]


def test_a_seed_that_ran_twice_counts_once(tmp_path):
    for name, time, elbo in (("old", 100, 1.0), ("new", 200, 3.0)):
        a_run(tmp_path / name, "prior=mi", **{"elbo/test": elbo})
        (tmp_path / name / f"events.out.tfevents.{time}.host.1.0.ssvae").touch()
    (section,), others = sections(tmp_path)
    assert section.settings[0].of("elbo/test") == (3.0, None, 1)
    assert [(other.folder.name, other.state) for other in others] == [("old", "repeated")]


def test_a_missing_number_has_its_reason_and_says_in_how_many_runs(tmp_path):
    for seed in (0, 1, 2):
        kl, why = (None, {"kl/test": "one row alone"}) if seed else (0.5, {})
        a_run(tmp_path / str(seed), "prior=mi", f"seed={seed}", reasons=why, **{"kl/test": kl})
    (section,), _ = sections(tmp_path)
    found = table(section, ["kl/test"])
    assert (found.columns[0].cells[0].count, found.columns[0].cells[0].mark) == ("1 of 3", "a")
    assert found.notes == {"a": "one row alone (kl/test of prior=mi, 2 of 3 runs)"}
    assert [letter(i) for i in (0, 25, 26, 52)] == ["a", "z", "aa", "ba"]


def test_without_test_the_columns_are_those_of_validation(tmp_path):
    run = a_run(tmp_path / "0", "prior=mi")
    (run / "summary.json").write_text('{"seed": 0, "time/train_s": 3.0, "mine/score": 1.0, "prior/kappa": 2.0}')
    runs, _ = find_runs([tmp_path])
    assert columns(None, runs) == ["elbo/validation", "time/train_s", "mine/score"]


def test_learned_parameters_stand_next_to_the_true_ones(tmp_path):
    for seed, kappa in enumerate((4.0, 6.0)):
        a_run(tmp_path / str(seed), "prior=vmf", f"seed={seed}", **{"prior/kappa": kappa, "truth/kappa": 5.0})
    a_run(tmp_path / "mi", "prior=mi")
    (section,), _ = sections(tmp_path)
    found = prior_table(section, "deviation")
    assert [column.metric for column in found.columns] == ["prior/kappa", "truth/kappa"]
    assert [s.label for s in found.settings] == ["prior=vmf"]
    assert [column.cells[0].estimate.mean for column in found.columns] == [5.0, 5.0]


def test_the_top_says_what_ran(reported):
    found, others = sections(reported[0])
    said = dict(facts(found, others))
    assert said["runs"] == "10 finished, of 4 settings, 2 failed, 1 stopped, 1 not begun"
    assert said["prior"] == "<mi>, infonce, vmf" and said["epochs"] == "2" and said["seeds"] == "0, 1, 2"
    assert "encoder=convnet" in said["all runs share"] and "prior" not in said["all runs share"]


WORDS = ["a_b^c~d", "100% & #1 $x$", r"\input{x}", "<b>|*x*`[y](z)", "λ=0.1 – ±", "文", "--x", 'say "x"', "a\nb"]


@pytest.mark.parametrize("word", WORDS)
def test_latex_and_markdown_hold_any_name(word):
    latex = latex_escaped(word)
    bare = re.sub(
        r"\\ensuremath\{[<>|*]\}|\\(textbackslash|textascii(?:circum|tilde)|textendash|char\d+|ensuremath|alpha|lambda|pm)|\\[{}$&#%_^~]",
        "",
        latex,
    )
    assert not set(bare) & set("\\$&#%_^~<>|\"'`") and latex.isascii() and "--" not in latex and "\n" not in latex
    unescaped = re.sub(r"\\[{}]", "", latex)
    assert unescaped.count("{") == unescaped.count("}")
    markdown = markdown_escaped(word)
    assert not re.search(r"(?<!\\)[|*_<`\[]", markdown) and re.sub(r"\\(.)", r"\1", markdown) == " ".join(word.split())


def test_the_files_of_a_table_are_whole(reported):
    latex = (reported[1] / "tables.tex").read_text()
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == latex.count(r"\toprule") == 2
    for line in (line for line in latex.splitlines() if line.endswith(r"\\")):
        assert len(re.findall(r"(?<!\\)&", line)) == 4
    lines = [line for line in (reported[1] / "report.md").read_text().splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert set(widths) == {3, 4, 6}


@pytest.mark.parametrize(
    "overrides, said",
    {
        "none given": ([], "runs has no default"),
        "of another command": (["runs=../mi"], "no finished run of ssvae train"),
        "unknown metric": (["runs={sweep}", "metrics=[elbo/tst]"], "did you mean 'elbo/test'"),
    }.values(),
)
def test_bad_input_is_one_line_and_writes_nothing(overrides, said, reported, tmp_path, monkeypatch, capfd):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mi").mkdir()
    (tmp_path / "mi" / "summary.json").write_text('{"mi/infonce/test": 1.0}')
    monkeypatch.chdir(tmp_path / "empty")
    assert said in refused(capfd, "report", *(o.format(sweep=reported[0]) for o in overrides))
    assert not [p for p in (tmp_path / "empty").rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    "override, said",
    {
        "nowhere": ("runs=nowhere", "no such folder"),
        "no folder": ("runs=[]", "runs must be a folder or a list of folders, got []"),
        "none finished": ("runs=stopped", "after epoch 2 of 2"),
        "unknown curve": ("curves=[elbo/validatio]", "did you mean 'elbo/validation'"),
        "a number for a metric": ("metrics=[1]", "metrics must be a list of names"),
        "unknown spread": ("spread=error", "spread=error; allowed: deviation, standard_error"),
        "no ends": ("highest=null", "highest must be a list of names, got null"),
        "both ends": ("lowest=[elbo]", "elbo is in highest and in lowest"),
        "unknown end": ("highest=[probe/liner]", "did you mean 'probe/linear'"),
        "unknown other end": ("lowest=[tme]", "lowest: no run has tme; allowed: "),
        "no confidence": ("confidence=95", "confidence must be a number from 0.5 to 0.999999, got 95"),
        "no number": ("pictures_mb=many", "pictures_mb must be a number"),
    }.values(),
)
def test_a_setting_that_no_report_can_have_is_refused(override, said, reported, tmp_path, monkeypatch):
    (a_run(tmp_path / "stopped", "prior=mi") / "summary.json").unlink()
    monkeypatch.chdir(tmp_path)
    given = OmegaConf.from_dotlist([f"runs={reported[0]}", override])
    with pytest.raises(UserError, match=re.escape(said)):
        report(OmegaConf.merge(OmegaConf.load(conf() / "report.yaml"), given), tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_how_the_data_are_read_makes_no_other_setting():
    assert ignored("dataset.workers") and ignored("dataset.memory_gb") and not ignored("dataset.limit")
