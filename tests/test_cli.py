"""The command: help without torch, open to a user's own parts, and whole in a wheel."""

import os
import pkgutil
import re
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from helpers import composed, ssvae
from ssvae_cli import __main__ as entry
from ssvae_cli.instantiate.build import check
from ssvae_cli.instantiate.groups import known_groups
from ssvae_cli.instantiate.types import choice_of

REPOSITORY = Path(__file__).parents[1]
SSVAE = [str(Path(sysconfig.get_path("scripts")) / "ssvae")]


def run(*arguments, **env):
    return subprocess.run([*SSVAE, *arguments], capture_output=True, text=True, env=os.environ | env)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["-sc", "query=bash"]])
def test_help_version_and_completion_import_no_torch(arguments):
    probe = "import sys; from ssvae_cli.cli import main; main.run(sys.argv[1:]); assert 'torch' not in sys.modules"
    env = os.environ | ({"COMP_LINE": "ssvae train prior=", "COMP_POINT": "18"} if arguments[0] == "-sc" else {})
    done = subprocess.run([sys.executable, "-c", probe, *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and done.stdout, done.stderr


def complete(line):
    return run("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).stdout.split()


def test_completion_offers_commands_choices_and_keys():
    assert complete("ssvae tr") == ["train"]
    assert {"prior=infonce", "prior=mi", "prior=unstructured_normal"} <= set(complete("ssvae train prior="))
    assert "trainer.batch_size=" in complete("ssvae train trainer.b")
    after_path = run("-sc", "query=bash", COMP_LINE="ssvae eval RUN tra", COMP_POINT="18")
    assert after_path.stdout.split() == ["training."] and not after_path.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("verify ", ["hydra", "hydra.", "seed="]),  # nothing that it refuses: no group of another command
        ("train b", []),
        ("train tracker", ["trackers.", "tracker@trackers.tensorboard="]),  # which has no place without its package
        ("finetune RUN optimizer.p", []),
        ("train prior=mi prior._", []),
        ("train -m prior=infonce,m", ["prior=infonce,mi", "prior=infonce,mixture"]),
        ("train experiment=claims/c", ["experiment=claims/capacity", "experiment=claims/content_style"]),
        ("mi +estimator@estimators.mine=mi", ["+estimator@estimators.mine=mine"]),
        ("train +metric@evaluation.metrics.more=kn", ["+metric@evaluation.metrics.more=knn"]),
    ],
)
def test_completion_offers_what_the_command_takes(line, offered):
    found = complete(f"ssvae {line}")
    assert (
        found == offered or offered and set(offered) <= set(found) and all(line.split()[-1] in word for word in found)
    )


def test_completion_offers_choices_of_ones_own(tmp_path):
    for name in ("prior/slow", "metric/smooth"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.yaml").write_text("_target_: my_parts.Own")
    own = f"ssvae train --config-dir {tmp_path} "
    assert "prior=slow" in complete(f"{own}prior=s") and complete(f"{own}-m prior=mi,sl") == ["prior=mi,slow"]
    assert complete(f"{own}+metric@evaluation.metrics.x=s") == ["+metric@evaluation.metrics.x=smooth"]


@pytest.mark.parametrize("line", ["ssvae nope pri", "ssvae train ..=", "ssvae train prior=nope prior."])
def test_a_mistake_in_a_line_that_is_being_typed_says_nothing(line):
    done = run("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert complete("ssvae   train  prior=inf") == ["prior=infonce"]


def test_what_zsh_installs_loads_bashs_completion_first():
    first, *script = run("-sc", "install=zsh").stdout.splitlines()
    assert first.endswith("bashcompinit") and script == run("-sc", "install=bash").stdout.splitlines()


def test_completion_offers_paths_where_a_key_takes_one(tmp_path, monkeypatch):
    for name in ("run-1", "run-2", "a run"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert set(complete("ssvae train resume=r")) == {"resume=run-1", "resume=run-2"}
    assert set(complete("ssvae eval r")) == {"run=", "run-1", "run-2"} and "run-1" not in complete("ssvae train r")
    assert complete("ssvae report runs=run-1,run-2") == ["runs=run-1,run-2"]


def test_help_lists_the_groups_of_the_command_what_is_chosen_first():
    done = run("train", "prior=mi", "encoder=gru", "--help")
    assert done.returncode == 0
    folded = " ".join(done.stdout.split())
    others = sorted(path.stem for path in (REPOSITORY / "conf" / "prior").glob("*.yaml") if path.stem != "mi")
    assert f"prior mi, {', '.join(others)} " in folded and "encoder/frame by_shape, convnet, mlp " in folded
    assert "spiral" not in folded and "spiral" in run("mi", "--help").stdout
    of_a_run = run("eval", "dataset=digits", "--help").stdout  # what the run brings is no choice, nor are its keys
    assert "\n  dataset " in of_a_run and not re.search(r"\n  (pairs|trainer)\b", of_a_run)


@pytest.mark.parametrize("command", ["train", "finetune", "runs", "mi", "eval", "report"])
def test_help_fits_100_columns_and_lists_nothing_that_the_command_refuses(command):
    lines = run(command, "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    refused_keys = "  optimizer.prior_lr=", "  evaluation.test="
    assert command == "train" or not any(line.startswith(refused_keys) for line in lines)
    place = {"train": "", "mi": " [FILE.npz]", "runs": " [DIR ...]", "report": " DIR ..."}.get(command, " RUN")
    assert lines[0].startswith(f"usage: ssvae {command}{place} [group=choice]")
    assert any("-m key=a,b: a sweep" in line for line in lines) == (command != "runs")


def test_help_lists_each_key_as_it_is_typed_with_what_its_yaml_says_of_it(tmp_path):
    own = tmp_path / "prior" / "own.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\nprior:\n  _target_: own.Own\n  parts:\n    step: 0.5   # how far z' goes\n")
    done = run("train", "--config-dir", str(tmp_path), "prior=own", "trainer=gpu", "--help")
    folded = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "prior.parts.step=0.5 how far z' goes" in folded
    assert "trainer.device=cuda auto, cpu, cuda" in folded  # of the file that gpu.yaml is based on
    assert "methods.entropies.training.steps=1500" in run("mi", "--help").stdout
    assert "_target_" not in done.stdout


def test_the_composed_configuration_is_shown():
    assert run("train", "--cfg", "job", "prior=mi").stdout.count("ssvae_cli.priors.mi.MI") == 1


def test_options_may_stand_anywhere_among_the_settings(capfd):
    assert ssvae("train", "prior=mi", "--cfg", "job", "seed=7") == 0
    shown = capfd.readouterr().out
    assert "seed: 7" in shown and "ssvae_cli.priors.mi.MI" in shown


def test_a_reader_that_has_gone_ends_the_help_without_a_word():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*SSVAE, "train", "--help"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def packages():
    config = ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    return set(config["options"]["packages"].split())


def test_setup_lists_every_package_there_is():
    found = {".".join(p.parent.relative_to(REPOSITORY).parts) for p in (REPOSITORY / "ssvae_cli").rglob("__init__.py")}
    assert packages() == found | {"ssvae_cli.conf"}


def test_the_wheel_holds_every_module_and_every_configuration(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    modules = {p.relative_to(REPOSITORY).as_posix() for p in (REPOSITORY / "ssvae_cli").rglob("*.py")}
    configs = {f"ssvae_cli/{p.relative_to(REPOSITORY).as_posix()}" for p in (REPOSITORY / "conf").rglob("*.yaml")}
    assert modules | configs <= names


CHOSEN = [
    f"{group}={path.stem}"
    for group in ("prior", "prior/critic")
    for path in sorted((REPOSITORY / "conf" / group).glob("*.yaml"))
    if path.stem not in ("diagonal_rbf", "separable_wide")  # a bandwidth a dimension; `separable` with wider layers
]


@pytest.mark.parametrize("choice", CHOSEN)
def test_refusals_name_a_prior_and_a_critic_by_the_word_that_chose_it(choice):
    group, word = choice.split("=")
    target = re.search(r"_target_: (\S+)", (REPOSITORY / "conf" / group / f"{word}.yaml").read_text())[1]
    assert choice_of(pkgutil.resolve_name(target)) == word


PARTS = {
    "train": "dataset pairs encoder encoder_prime prior estimator optimizer trainer decoder".split()
    + ["evaluation", "trackers.own"],
    "mi": "task critic split training methods.ksg methods.own".split(),
}


OF_A_FILE = "npz paired sequences table anndata huggingface".split()  # data sets whose path has no default


def groups():
    for group in known_groups():
        if group != "experiment":
            yield from (f"{group}={path.stem}" for path in sorted((REPOSITORY / "conf" / group).glob("*.yaml")))


@pytest.mark.parametrize("choice", list(groups()))
def test_every_choice_composes_and_every_part_of_it_is_buildable(choice):
    group, word = choice.split("=")
    overrides = {
        "dataset=folder": [choice, "dataset.root=somewhere"],
        "dataset=shards": [choice, "dataset.root=somewhere"],
        **{f"dataset={path}": [choice, "dataset.path=some.file"] for path in OF_A_FILE},
        "encoder/frame": ["encoder=gru", choice],
        "dataset/law": ["dataset=latents", choice],
        "prior/mean": ["prior=predictor", choice],
        "metric": [f"+metric@evaluation.metrics.own={word}"],
        "tracker": [f"+tracker@trackers.own={word}"],
        "method": [f"+method@methods.own={word}"],  # beside those that are listed
    }
    command = "mi" if group in ("task", "split", "method") else "train"
    config = composed(*overrides.get(choice, overrides.get(group, [choice])), command=command)
    for key in PARTS[command]:
        part = OmegaConf.select(config, key)
        if part not in (None, "separate"):
            offered = {"shape", "space", "online"} if key.startswith("encoder") else {"shape", "latent_dim", "dims"}
            check(OmegaConf.to_container(part, resolve=True), key, offered)


@pytest.mark.parametrize("words, composed", [([], 1), (["hydra.mode=RUN"], 2), (["--config-dir=."], 2)])
def test_hydra_composes_a_run_once_unless_something_may_set_its_mode(words, composed, monkeypatch, tmp_path):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    calls, original = [], ConfigLoaderImpl.load_configuration

    def counted(self, *arguments, **named):
        calls.append(arguments)
        return original(self, *arguments, **named)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    monkeypatch.chdir(tmp_path)
    assert ssvae("report", "runs=nowhere", *words) in (1, 2)
    assert len(calls) == composed


def test_ctrl_c_while_the_command_is_imported_is_a_line(monkeypatch, capfd):
    class Interrupted:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "ssvae_cli.cli.main", Interrupted())
    with pytest.raises(SystemExit) as stopped:
        entry.main()
    assert stopped.value.code == 130 and capfd.readouterr().err == "ssvae: stopped by SIGINT\n"
