"""A path is a plain word, whatever its characters.

1. Hydra and OmegaConf read the path that was given: after run=, without a key, in a list, in a sweep, stored and read
   again. A user's own quotes, lists, sweeps and references keep their meaning.
2. `~` is a home folder in every command and data set.
"""

import os
import re
import shlex

import numpy as np
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from helpers import composed, refused, ssvae
from ssvae_cli import SSVAE, embed, eval
from ssvae_cli.cli.overrides import overrides_of, plain_path, quoted
from ssvae_cli.errors import UserError
from ssvae_cli.mi import command as mi
from ssvae_cli.paths import expanded, literal
from ssvae_cli.report import command as report
from ssvae_cli.run_folder import CHECKPOINT
from ssvae_cli.training.checkpoint import resolved_yaml

ODD = [
    "lr=0.1,seed=1",
    "my runs (1)",
    "[x]",
    "{a: 1}",
    'it\'s "it"',
    "a#b&c;d|e<f>",
    "$HOME 100% a:b",
    "back\\slash\\",
    "line\nfeed",
    "-m",
    "+new=1",
    "~odd",
    " both ",
    "😀 é ф",
    "null",
    "???",
    "0",
    "true",
    "1e3",
    "glob(*)",
]
REFERENCE = "a ${x} b"  # as a folder to read from; Hydra cannot write to it
PIECES = [*"ab \\'\"${}()[],=:;~#&%\n\t-+é😀.*?|<>!^`@", "${", "${x}", "\\${", "\\\\${y}", "null", "a,b"]
PATHS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join)


def read(override: str):
    """What a job finds under the override's key."""
    parsed = OverridesParser.create().parse_override(override)
    return OmegaConf.create({"value": parsed.value()}).value


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(path=PATHS)
def test_any_text_in_quotes_is_read_as_it_is(path):
    assert read(f"run={quoted(literal(path))}") == path
    config = OmegaConf.create({"path": literal(path)})
    assert OmegaConf.create(resolved_yaml(config)).path == path


@pytest.mark.parametrize("name", [*ODD, REFERENCE])
def test_a_file_or_folder_that_exists_is_what_its_name_says(name, here):
    (here / name).mkdir()
    name = "./null" if name == "null" else name  # key=null gives no path
    for command, words in [("eval", [f"run={name}"]), ("eval", ["--", name]), ("eval", [f"./{name}"])]:
        (override,) = overrides_of(command, words)
        assert os.path.samefile(read(override), here / name), words
    for words in ([f"runs={name}"], ["--", name, name], [f"runs=[{name},{name}]"]):
        (override,) = overrides_of("report", words)
        folders = read(override)
        for folder in [folders] if isinstance(folders, str) else folders:
            assert os.path.samefile(folder, here / name), words
    sweep = overrides_of("mi", ["-m", f"data={name},{name}", f"dataset.path={name}"])[1:]
    jobs = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(sweep), None)[0]
    assert [[os.path.samefile(read(o), here / name) for o in job] for job in jobs] == [[True, True]] * 2


@pytest.mark.parametrize("name", ODD)
def test_a_path_that_does_not_exist_yet_is_one_path_whatever_its_characters(name):
    name = f"./{name}" if name[0] in "~" or name in ("null", "???") else name
    for key in ("hydra.run.dir", "hydra.sweep.dir", "resume", "run", "data"):
        assert read(plain_path(f"{key}={name}", "train")) == name


@pytest.mark.parametrize(
    "command, words, overrides",
    [
        ("eval", ['run="a b (1)/x"'], ['run="a b (1)/x"']),  # quoted by the user
        ("eval", [r"run=a\,b"], ['run="a,b"']),
        ("eval", ["-m", 'run="a,b",c'], ["-m", 'run="a,b",c']),
        ("eval", ["-m", "run=x,c"], ["-m", "run=x,c"]),  # neither exists
        ("eval", ["-m", "run=a,b,c"], ["-m", 'run="a,b",c']),  # a,b and c exist
        ("eval", ["-m", "c", "a,b"], ["-m", 'run=c,"a,b"']),
        ("eval", ["-m", "run=choice(c,d)"], ["-m", "run=choice(c,d)"]),
        ("eval", ["run=null"], ["run=null"]),
        ("eval", ["run=${oc.env:RUNS}/c"], ["run=${oc.env:RUNS}/c"]),
        ("eval", ["run=a${b"], ['run="a\\${b"']),  # no reference
        ("eval", ["seed=1"], ['run="seed=1"']),  # exists, and no other word is a path
        ("eval", ["c", "seed=1"], ["run=c", "seed=1"]),
        ("eval", ["~estimators.js", "c"], ["run=c", "~estimators.js"]),
        ("eval", ["--config-dir", "c", "c"], ["--config-dir", "c", "run=c"]),
        ("report", ["c", "metrics=[a,b]"], ["runs=[c]", "metrics=[a,b]"]),
        ("report", ["runs=[a,b,c]"], ['runs=["a,b",c]']),
        ("report", ['runs=["x,y",c]'], ['runs=["x,y",c]']),
        ("train", ["hydra.run.dir=out (1)/${seed}"], ['hydra.run.dir="out (1)/${seed}"']),
        ("train", ["dataset.root=c", "prior=mi"], ["dataset.root=c", "prior=mi"]),
    ],
)
def test_a_word_becomes_an_override(command, words, overrides, here):
    for name in ("a,b", "c", "seed=1"):
        (here / name).mkdir()
    assert overrides_of(command, words) == overrides


@pytest.mark.parametrize(
    "command_line, said",
    [
        ("eval c d", "run is one path, got c, d; a sweep over them is ssvae eval -m c d"),
        ("eval run=c,d", "several values are a sweep, ssvae eval -m run=c,d"),
        ("eval c run=d", "run is given twice: c and run=d"),
        ("eval nowhere", "'nowhere' is no file or folder, and no setting"),
        ("train c", "did you mean ssvae train dataset=folder dataset.root=c?"),
        ("train run", "did you mean ssvae train resume=run?"),
        ("train 'hydra.run.dir=${'", "Hydra reads ${ in the name of a folder"),
        ("train 'dataset=npz' 'dataset.path=${x}'", "dataset.path: ${x}: unknown key x; allowed: dataset, "),
        ("train 'dataset=npz' 'dataset.path=${dataset.pth}'", "did you mean 'dataset.path'?; a name with ${ in it is"),
        ("train -m 'hydra.sweep.subdir=${hydra.job.nmu}'", "did you mean 'hydra.job.num'?; Hydra reads ${ in the name"),
        ("train -m 'hydra.sweep.subdir=${nwo:%H}'", "hydra.sweep.subdir: ${nwo:...}: there is no nwo; a key is ${KEY}"),
        ("train 'seed=${oc.env:GONE}'", "seed: Environment variable 'GONE' not found"),
        ("train 'dataset=npz' 'dataset.path=${x}'", r"""a name with ${ in it is written 'dataset.path="\${x}"'"""),
        ("train 'note=my photos (1)'", """as text, between quotes: 'note="my photos (1)"'"""),
        ("train note=a=b", """as text, between quotes: 'note="a=b"'"""),
        ("train note=a,b", """one word with a comma: 'note="a,b"'"""),
        ("eval 'run=\udcff'", "such bytes are no UTF-8"),
    ],
)
def test_what_a_path_cannot_be_is_a_line_with_what_can(command_line, said, here, capfd):
    for name in ("c", "d", "run/.hydra"):
        (here / name).mkdir(parents=True)
    assert said in refused(capfd, *shlex.split(command_line))


def test_the_quoted_form_in_an_error_line_is_accepted(capfd):
    for word in ("note=my 'photos' (a=b)", "note=a,b"):
        form = shlex.split(re.search(r"(?:quotes|comma): (.*?)(?:; a list|$)", refused(capfd, "train", word))[1])
        assert "unknown key note" in refused(capfd, "train", *form)
    assert composed(r"dataset=npz", r"dataset.path=\${x}").dataset.path == "${x}"


def test_a_working_folder_that_is_gone_is_a_line(here, monkeypatch, capfd):
    gone = here / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the working folder does not exist any more" in refused(capfd, "train")
    with pytest.raises(ValueError, match="^the working folder does not exist any more; cd to one that does$"):
        SSVAE().fit(np.zeros((200, 4), "float32"))


# --- homes


@pytest.mark.parametrize("home", ["HOME", None])
def test_a_tilde_is_a_home_folder(home, here, monkeypatch):
    (here / "runs").mkdir()
    (here / "~odd").mkdir()
    if home:
        monkeypatch.setenv("HOME", str(here))
        assert expanded("~/runs", "run") == f"{here}/runs"
        assert overrides_of("eval", ["run=~/runs"]) == overrides_of("eval", ["~/runs"]) == [f"run={here}/runs"]
        assert overrides_of("train", ["hydra.run.dir=~/a (1)"]) == [f'hydra.run.dir="{here}/a (1)"']
        assert overrides_of("train", ["--config-dir=~/x"]) == [f"--config-dir={here}/x"]
    else:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user id without an entry
        with pytest.raises(UserError, match="the home folder ~ is not known"):
            expanded("~/runs", "run")
    assert expanded("~odd", "run") == "~odd"


NOBODY = "~nosuchuser/x.npz"


@pytest.mark.parametrize(
    "words",
    [
        *(f"train dataset={name} dataset.path={NOBODY}" for name in ("npz", "paired", "sequences")),
        *(f"train dataset={name} dataset.root={NOBODY}" for name in ("folder", "mnist", "stl10")),
        *(f"{command} {key}={NOBODY}" for command, key in [("mi", "data"), ("eval", "run"), ("report", "runs")]),
        *(f"{command} {NOBODY}" for command in ("mi", "eval", "embed", "report")),
        *(f"train {key}={NOBODY}" for key in ("resume", "sweep.resume", "hydra.run.dir")),
    ],
)
def test_a_home_that_is_not_known_is_a_line(words, capfd):
    assert "the home folder ~nosuchuser is not known" in refused(capfd, *words.split())


def test_a_tilde_in_a_yaml_file_is_expanded_where_the_data_are_read(here, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(here))
    own = here / "conf" / "dataset" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [npz, _self_]\npath: ~/mine.npz\n")
    np.savez(here / "mine.npz", x=np.zeros((3, 2, 2, 2, 2), np.float32))
    assert "[3, 2, 2, 2, 2]" in refused(capfd, "train", "--config-dir", "conf", "dataset=mine")


RUNNING = {"eval": (eval, "evaluate", "run"), "embed": (embed, "embed", "run"), "report": (report, "report", "runs")}
RUNNING["mi"] = (mi, "mi", "data")


@pytest.mark.parametrize("command", RUNNING)
def test_a_command_finds_the_path_in_its_configuration(command, here, monkeypatch):
    module, function, key = RUNNING[command]
    found = []
    monkeypatch.setattr(module, function, lambda cfg, folder, choices: found.append(cfg[key]))
    for name in ('a "b", (c)=[d]\\', REFERENCE):
        file = here / name if command == "mi" else here / name / CHECKPOINT
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert ssvae(command, name) == 0
        (path,) = [found[-1]] if isinstance(found[-1], str) else found[-1]
        assert os.path.samefile(path, here / name)
