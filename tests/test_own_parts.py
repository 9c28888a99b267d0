"""A user's own parts: each needs one class and one YAML file outside the package, as docs/own_parts.md prints them.

A part without what its family needs, or that raises, is refused in a line that names its contract; the traceback is in
the log.
"""

import json
import re
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers import PENALTY, TINY, refused, ssvae
from ssvae_cli.critics import Critic, Factored
from ssvae_cli.encoders import base as encoders
from ssvae_cli.errors import PartError
from ssvae_cli.estimators import EntropyEstimator, ScoreEstimator
from ssvae_cli.evaluation.evaluation import fault_of
from ssvae_cli.instantiate.build import build, check
from ssvae_cli.mi.tasks import Task
from ssvae_cli.optimizers import Optimization
from ssvae_cli.pairs import Pairs
from ssvae_cli.priors import Encoded, ExplicitPrior
from ssvae_cli.priors.base import CONTRACT as PRIOR

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "own_parts.md").read_text()
QUICK = [*TINY[:4], "trainer.epochs=1", PENALTY]


def blocks(text: str) -> list[str]:
    """The indented blocks of a page."""
    return [textwrap.dedent(block).strip("\n") + "\n" for block in re.findall(r"\n\n((?:    .*\n|\n(?=    ))+)", text)]


def parts() -> dict[str, str]:
    """File -> text, of all that the page prints: classes in my_parts.py, a YAML file for each."""
    files = {"my_parts.py": "\n".join(b for b in blocks(PAGE) if "class " in b or "def " in b) + "\n"}
    named = r"`(_target_: my_parts\.\w+)`(?:\s+with\s+`([^`]+)`)?\s+in\s+`(my_conf/[^`]+)`"
    for target, more, path in re.findall(named, PAGE):
        files[path] = f"{target}\n{more}\n"
    yaml = [b for b in blocks(PAGE) if re.match("defaults:|_target_:", b)]
    return files | dict(zip(["my_conf/prior/slow.yaml", "my_conf/encoder/tiny.yaml"], yaml, strict=True))


def commands() -> list[str]:
    """Every command line that the page prints, and those that its words promise."""
    lines = [line for block in blocks(PAGE) for line in block.splitlines()]
    printed = [line.split("ssvae ", 1)[1] for line in lines if line.startswith("PYTHONPATH=. ssvae ")]
    own = "train --config-dir my_conf"
    return [*printed, f"{own} prior=gaussian estimator=marginals", f"{own} prior=slow estimator=marginals"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in parts().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "my_parts", raising=False)
    return tmp_path


def test_the_page_shows_every_kind_of_part_the_prior_in_15_lines_and_others_in_fewer():
    classes = {block.splitlines()[-1]: block for block in blocks(PAGE) if "class " in block}
    lengths = {re.search(r"class (\w+)", block)[1]: len(block.strip().splitlines()) for block in classes.values()}
    assert {"Slow", "Averaged", "Marginals", "Tiny", "Sparsity", "Dot", "Dropped"} < set(lengths)
    assert lengths.pop("CSV") <= 18  # five methods
    assert max(lengths.values()) == lengths["Slow"] <= 15


@pytest.mark.parametrize("line", commands())
def test_what_the_page_prints_runs_as_printed(line, folder):
    command, *arguments = line.split()
    of_mi = ["task.samples=300", "training.steps=20", "zero_check=false"]
    quick = [*QUICK, "evaluation=quick"] if command == "train" else of_mi
    assert ssvae(command, *arguments, *quick, "hydra.run.dir=run") == 0
    assert (folder / "run" / "summary.json").exists()


def test_an_own_metric_is_in_the_summary_the_log_tensorboard_and_the_report(folder, capfd):
    own = ["--config-dir", "my_conf", "+metric@evaluation.metrics.sparsity=sparsity"]
    assert ssvae("train", *own, *QUICK, "hydra.run.dir=run") == 0
    summary = json.loads(Path("run/summary.json").read_text())
    logged = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])
    assert 0 <= summary["sparsity/test"] < 1 and 0 <= logged["sparsity/validation"] < 1
    events = EventAccumulator("run")
    events.Reload()
    assert {"sparsity/test", "sparsity/validation"} <= set(events.Tags()["scalars"])
    assert ssvae("report", "runs=run", "hydra.run.dir=report") == 0
    assert "sparsity/test" in Path("report/report.html").read_text()
    assert "sparsity/test mean" in Path("report/table.csv").read_text().splitlines()[0]


def test_an_own_prior_is_resumed_and_evaluated_with_its_folder_and_trust(folder, capfd):
    own = ["--config-dir", "my_conf"]
    assert ssvae("train", *own, "prior=slow", *QUICK, "encoder.latent_dim=4", "hydra.run.dir=run") == 0
    again = ["train", "resume=run", "trainer.epochs=2"]
    assert "give its --config-dir again" in refused(capfd, *again, "trust=true")
    assert "prior._target_ = my_parts.Slow" in refused(capfd, *again, *own)
    assert ssvae(*again, *own, "trust=true") == 0
    assert "add trust=true" in refused(capfd, "eval", "run=run")
    assert ssvae("eval", "run=run", "trust=true", "training.steps=10") == 0


def test_the_annotations_of_an_own_part_are_its_schema(folder, capfd):
    own = ["train", "--config-dir", "my_conf", "prior=slow"]
    assert "did you mean 'prior.step'" in refused(capfd, *own, "prior.stp=0.3")
    assert "prior.step must be a number" in refused(capfd, *own, "prior.step=x")
    assert "unknown key prior.latent_dim" in refused(capfd, *own, "+prior.latent_dim=7")


BROKEN = {
    "estimator": (
        "class Broken(ScoreEstimator):\n    def forward(self, scores): return scores.positives.mean()",
        "",
        "Broken has no name; an estimator derives from",
    ),
    "prior": ("class Broken(ScorePrior): pass", "direction: both", "Broken has no quantity; a prior derives from"),
    "dataset": ("def Broken(): return 1, 2, 3", "", "tuple has no train and no validation and no test; a data set is"),
    "metric": (
        "class Broken:\n    def __call__(self, reading, split): return 0.5",
        "",
        "returned a float; a metric is",
    ),
    "pairs": ("class Broken: pass", "", "Broken has no attach and no shapes"),
    "optimizer": ("class Broken:\n    def __init__(self): 1 / 0", "", "raised ZeroDivisionError: division by zero"),
}
IMPORTS = "from ssvae_cli.estimators import ScoreEstimator\nfrom ssvae_cli.priors import ScorePrior\n"
BACKBONE = """
import torch
class Broken(torch.nn.Module):
    def __init__(self, *, shape):
        super().__init__()
"""


@pytest.mark.parametrize("group", [*BROKEN, "encoder"])
def test_a_part_that_breaks_its_contract_is_a_line_and_its_traceback_is_in_the_log(group, tmp_path, monkeypatch, capfd):
    code, yaml, words = BROKEN.get(group, (BACKBONE, "", "encoder.backbone: Broken has no forward; a backbone is"))
    name = f"broken_{group}"
    text = f"_target_: {name}.Broken\n{yaml}\n"
    if group == "prior":
        text = f"defaults: [critic: cosine, _self_]\n{text}"
    if group == "encoder":
        backbone = f"backbone: {{_target_: {name}.Broken, _partial_: true}}"
        rest = "latent_dim: 4\nprojector: []\n"
        text = f"_target_: ssvae_cli.encoders.Encoder\n{backbone}\n{rest}"
    (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / group / "broken.yaml").write_text(text)
    (tmp_path / f"{name}.py").write_text(IMPORTS + code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    choice = "+metric@evaluation.metrics.broken=broken" if group == "metric" else f"{group}=broken"
    assert ssvae("train", "--config-dir", "conf", choice, *QUICK, "hydra.run.dir=run") == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert words in line and "Traceback" not in line
    log = line.split("the traceback is in ")[1]
    assert "Traceback" in Path(log).read_text()


@pytest.mark.parametrize(
    ("base", "method"),
    [
        (ExplicitPrior, "log_prob"),
        (ScoreEstimator, "forward"),
        (EntropyEstimator, "forward"),
        (Critic, "pairs"),
        (Factored, "across"),
        (Pairs, "__call__"),
        (Optimization, "optimizer_of"),
        (Task, "draw"),
    ],
)
def test_a_class_without_a_method_that_its_base_asks_for_is_refused_before_training(base, method, monkeypatch):
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(Broken=type("Broken", (base,), {})))
    words = f"Broken has no {method}, which {base.__name__} of ssvae_cli.* asks for: "
    with pytest.raises(PartError, match=words):
        check({"_target_": "own.Broken"}, "own")


class Begun(ExplicitPrior):
    """A constructor without super().__init__(), which torch misses only when it looks for parameters."""

    def __init__(self):
        self.scale = 2.0

    def log_prob(self, z, z_prime):
        return -(z - z_prime).square().sum(1)


def test_a_constructor_that_does_not_call_that_of_its_base_is_a_line():
    with pytest.raises(PartError, match=r"^prior: the constructor of Begun must begin with super\(\).__init__\(\)$"):
        build(OmegaConf.create({"_target_": f"{__name__}.Begun"}), "prior", PRIOR)


class Summed(ExplicitPrior):
    """Its log_prob sums over the batch too."""

    def log_prob(self, z, z_prime):
        return -(z - z_prime).square().sum()


def test_a_log_density_that_is_not_one_number_a_pair_is_refused():
    z = torch.zeros(5, 2)
    with pytest.raises(PartError, match=r"prior: Summed.log_prob of z, \[5, 2\], is \[\]; .* one number, \[5\]"):
        Summed().elbo(None, Encoded((z, z), ()))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"elbo/test": 1.0}, "'elbo/test', which another metric gives"),
        ({"own/test": torch.ones(2)}, "'own/test' as a Tensor of [2], and not as one number"),
        ({"own/test": [1.0]}, "'own/test' as a list, and not as one number"),
        ({"own/test": 1j}, "'own/test' as a complex, and not as one number"),
        ({3: 1.0}, "3 for a name"),
        ({"own\n/test": 1.0}, "'own\\n/test', a name with characters that cannot be printed"),
    ],
)
def test_a_metric_replaces_no_number_of_another_and_gives_numbers(numbers, words):
    assert words in fault_of(numbers, "test", {"elbo/test": 2.0})


def test_the_forward_that_torch_gives_every_module_is_no_forward():
    encoders.BACKBONE.require(torch.nn.Linear(1, 1), "backbone")
    with pytest.raises(PartError, match="backbone: Module has no forward; a backbone is"):
        encoders.BACKBONE.require(torch.nn.Module(), "backbone")
