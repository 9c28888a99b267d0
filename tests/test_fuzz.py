"""Whatever is asked for, the answer is a run or a line.

Overrides are drawn over all groups, keys and values, valid and not, with paths and the name of the run's folder among
them, and given to `ssvae train` in this process. Each
ends in a whole run of one step (exit code 0) or in one line (2): no traceback, no hang, no half-made folder. By hand:

    SSVAE_FUZZ=2000 python -m pytest -s tests/test_fuzz.py
"""

import collections
import contextlib
import copy
import io
import os
import shutil
import signal
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import helpers
from helpers import ssvae
from ssvae_cli import train
from ssvae_cli.run_folder import flatten
from ssvae_cli.tracking.record import Record
from ssvae_cli.training import checkpoint

BY_HAND = "SSVAE_FUZZ" in os.environ
EXAMPLES = int(os.environ.get("SSVAE_FUZZ", 20))
LIMIT_S = 300  # a run takes one or two, on a machine that has nothing else to do
CONF = Path(__file__).parents[1] / "conf"
ONE_STEP = [
    *"dataset.limit=48 trainer.batch_size=48 trainer.epochs=1 trainer.device=cpu trainer.compile=false".split(),
    *"evaluation.metrics.probe.penalties=[1.0] evaluation.metrics.probe.max_iterations=2".split(),
]
FITS = ["metrics.eq23.classifier", "metrics.eq23.critic_fit", "density.training"]
NO_FITS = ["evaluation.fitting_pairs=50", "evaluation.metrics.eq23.samples=50"]  # good numbers are not the question
NO_FITS += [f"evaluation.{fit}.steps=1" for fit in FITS]
PLACED = [  # groups whose choices are put in another part, as they are typed
    *(f"metric@evaluation.metrics.{name}" for name in ("elbo", "eq23", "probe", "knn", "factors")),
    "encoder@encoder_prime",
    "pairs@pairs.then",
    "prior/critic@evaluation.metrics.eq23.critic",
]
NARROW = "encoder.backbone.width"  # where there is one, a small one is given first
LEFT_OUT = {  # what no limit of time or disk allows to be drawn
    *"dataset.download trainer.compile trainer.device trainer.epochs evaluation.metrics.elbo.evidence_samples".split()
}

NAME_PIECES = [*"ab \\'\"${}()[],=:;~#&%\n\t-+é😀.*?|<>!^`@", "${seed}", "${x}", "\\${x}", "null", "a,b", "run"]
NAMES = st.lists(st.sampled_from(NAME_PIECES), min_size=1, max_size=6).map("".join).filter(lambda n: n.strip("."))
PATH_KEYS = "dataset.root dataset.path resume sweep.resume hydra.sweep.dir --config-dir".split()
VECTORS = "dataset=npz pairs=noise encoder=mlp encoder.backbone.hidden=[4] encoder.projector=[]".split()

NUMBERS = [-1, 0, 1, 2, 3, 8, 64, 10**15, 10**30, -0.5, 0.1, 0.5, 1.0, 1e-30, 1e30, ".nan", ".inf"]
WORDS = "null true word '' [] [1] [0.2,0.9] [1,2,3] [[1]] {} {a:1} ??? ${seed} a,b".split()
ANYTHING = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.text(max_size=6)).map(str)


def choices() -> dict[str, dict[str, dict]]:
    """group, as it is typed -> choice -> the keys that it brings, and their values."""
    folders = {path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")}
    found = {}
    for typed in [*sorted(f for f in folders if f.split("/")[0] in DEFAULTS), *PLACED]:
        group, _, package = typed.partition("@")
        found[typed] = {}
        for path in sorted((CONF / group).glob("*.yaml")):
            content = OmegaConf.load(path)
            content = OmegaConf.to_container(content) if OmegaConf.is_dict(content) else {}
            content.pop("defaults", None)
            prefix = package or group.replace("/", ".")
            found[typed][path.stem] = {f"{prefix}.{key}": value for key, value in flatten(content).items()}
    return found


def near(value) -> list:
    """Values of the same kind as one that is right."""
    if isinstance(value, bool):
        return [value, not value]
    if isinstance(value, int):
        return [value, value + 1, max(1, value // 2), 1, 0]
    if isinstance(value, float):
        return [value, value / 2, value * 2, 0.0, 1]
    if isinstance(value, list):
        return [str(value).replace(" ", ""), "[]", "[1]", "[2,2]", "[0.1,0.2]"]
    return ["null", value or 3, "gaussian", "both", "sphere", "1", "true"]


TRAIN = list(OmegaConf.load(CONF / "train.yaml").defaults[1:-1])
DEFAULTS = {g: c for entry in TRAIN if OmegaConf.is_dict(entry) for g, c in entry.items() if c}
GROUPS = choices()
DEFAULTS |= {typed: typed.rpartition(".")[2] for typed in PLACED if typed.startswith("metric@")}


@st.composite
def overrides(draw) -> list[str]:
    """A few groups, most of them rightly named, and a few keys of what was chosen, most values of a fitting kind."""
    picked = dict(DEFAULTS)
    asked = []
    for group in draw(st.lists(st.sampled_from(sorted(GROUPS)), max_size=2, unique=True)):
        right = st.sampled_from(sorted(GROUPS[group]))
        picked[group] = draw(st.one_of(right, right, right, right, right, ANYTHING))
        asked.append(f"{group}={picked[group]}")
    keys = {"seed": 0}
    narrow = [f"{NARROW}=4"] if NARROW in GROUPS["encoder"].get(picked["encoder"], {}) else []
    for group, choice in picked.items():
        keys |= GROUPS.get(group, {}).get(choice, {})
    for key in draw(st.lists(st.sampled_from(sorted(keys.keys() - LEFT_OUT)), max_size=2, unique=True)):
        similar = st.sampled_from(near(keys[key]))
        value = draw(st.one_of(similar, similar, similar, ANYTHING))
        mangled = draw(st.sampled_from([key] * 12 + [key[:-1], f"+{key}", f"~{key}", f"{key}.deeper"]))
        asked.append(f"{mangled}={value}")
    return narrow + asked


@st.composite
def paths(draw) -> list[str]:
    """Mostly none; else a data set of a drawn name, which `draw` makes, or a path that leads nowhere."""
    if not draw(st.sampled_from([False] * 5 + [True])):
        return []
    if draw(st.booleans()):
        return [*VECTORS, f"dataset.path={draw(NAMES)}.npz"]
    return [f"{draw(st.sampled_from(PATH_KEYS))}={draw(NAMES)}"]


def make_vectors(asked: list[str]) -> None:
    """The file of a drawn data set, where there is one."""
    if asked[:1] == VECTORS[:1]:
        rng = np.random.default_rng(0)
        arrays = {f"x_{part}": rng.normal(size=(60, 5)).astype(np.float32) for part in ("train", "test")}
        np.savez(asked[-1].removeprefix("dataset.path="), **arrays)


def composing_once(monkeypatch) -> None:
    """Hydra composes the same configuration twice a command, which is most of a refusal's time."""
    compose, kept = ConfigLoaderImpl.load_configuration, {}

    def load(self, **asked):
        if again := kept.pop(str(asked), None):
            return again
        kept.clear()
        config = compose(self, **asked)
        kept[str(asked)] = copy.deepcopy(config)
        return config

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", load)


def outcome(asked: list[str], run: Path) -> str:
    """'clean', 'refused' or 'diverged'; anything else is a failed assertion."""

    def late(number, frame):
        raise AssertionError(f"no end within {LIMIT_S} s")

    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = ssvae("train", *ONE_STEP, *asked, f"hydra.run.dir={run}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    lines = err.getvalue().strip().splitlines()
    if code == 0:
        assert (run / "summary.json").exists() or not run.exists(), "no summary"
        return "clean"
    assert code == 2, (code, err.getvalue())
    assert lines[-1].startswith("ssvae: ") and "Traceback" not in err.getvalue(), err.getvalue()
    if "training stopped at step" in lines[-1] or "training diverged" in lines[-1]:
        assert checkpoint.load(run)["step"] == 0
        return "diverged"
    assert len(lines) == 1, err.getvalue()
    assert not run.exists() or not any(p.is_file() for p in run.rglob("*")), list(run.rglob("*"))
    return "refused"


def test_whatever_is_asked_for_the_answer_is_a_run_or_a_line(monkeypatch):
    monkeypatch.setattr(helpers, "SHORT_FITS", NO_FITS)
    monkeypatch.setattr(Record, "figure", lambda *given: None)  # pictures have their own tests, and take long
    if not BY_HAND:
        monkeypatch.setattr(train, "pictures", lambda *given: [])
        monkeypatch.setattr(train, "curves", lambda *given: None)
    composing_once(monkeypatch)
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=not BY_HAND,
            phases=[Phase.generate],  # the first configuration that was drawn says enough
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(asked=overrides(), placed=paths(), name=st.one_of(st.just("run"), NAMES))
        def draw(asked, placed, name):
            run = Path(folder) / "runs" / name
            try:
                make_vectors(placed)
                counts[outcome([*asked, *placed], run)] += 1
            finally:
                shutil.rmtree(Path(folder) / "runs", ignore_errors=True)

        draw()
    print(dict(counts))
    assert min(counts["clean"], counts["refused"]) > EXAMPLES // 50, "both answers are drawn"


@pytest.mark.parametrize("asked", [["prior=infonce"], ["trainer.epochs=1.5"]])
def test_a_run_and_a_refusal_are_distinguished(asked, tmp_path):
    assert outcome(asked, tmp_path / "run") == ("clean" if asked == ["prior=infonce"] else "refused")
