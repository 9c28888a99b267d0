"""README.md and docs/: every command composes, every link leads somewhere, every page is in the site.

1. A command of `ssvae`, in a block or within a text, composes: its choices and keys exist, a preset's too.
2. A command that needs a network, a GPU or a cluster says so in its comment: (network), (GPU), (cluster).
3. Links, their anchors, as GitHub names them, and pictures exist.
4. Prose wraps, no block of commands is read as a part of a list, mkdocs.yml lists every page once, and the API page
   every public name.
5. Equations are written so that GitHub and the site render the same.
"""

import contextlib
import functools
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

import ssvae_cli
from fake_runs import a_run
from helpers import composed, make_folder
from ssvae_cli.cli.overrides import override_name, overrides_of
from ssvae_cli.cli.presets import refuse_keys_of_preset
from ssvae_cli.cli.resume import resume_overrides, sweep_overrides
from ssvae_cli.cli.suiting import suiting_overrides
from ssvae_cli.instantiate.groups import known_groups

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = {path.relative_to(REPOSITORY).as_posix(): path.read_text() for path in DOCS.rglob("*.md")}
PAGES["README.md"] = (REPOSITORY / "README.md").read_text()
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
MARK = re.compile(r"#.*\(((?:network|GPU|cluster|, )+)\)")
NEEDS = {  # what shows that a command needs more than this machine
    "network": r"download=true|weights=(DEFAULT|default)|dataset=(\w*mnist|cifar\d+|svhn|stl10)\b",
    "GPU": r"trainer=gpu",
    "cluster": r"submitit_slurm|--nnodes",
}
REFUSED = "ssvae train encoder=resnet50"  # the page shows how
SKIPPED = re.compile(r"--config-dir my_conf|[$]WHAT|--help|--version")  # own parts, SLURM and the help: run elsewhere
NAMES = {"methods/NAME": "methods/simclr", "claims/NAME": "claims/identity"}


def commands(text: str) -> list[str]:
    """The command lines of ssvae on a page, their comments included; those of several processes too."""
    indented = re.findall(r"(?:^    .*\n|^\n(?=    ))+", FENCED.sub("", text) + "\n", re.M)
    shell = [*indented, *(body for language, body in FENCED.findall(text) if not language)]
    lines = [line.strip().removeprefix("$ ") for block in shell for line in re.sub(r"\\\n *", "", block).splitlines()]
    within = [re.sub(r"\s+", " ", code) for code in re.findall(r"(?<!`)`(ssvae [^`]+)`", text)]
    found = [line for line in [*lines, *within] if re.match(r"(\w+=\S* )*(ssvae|torchrun .*-m ssvae_cli) ", line)]
    return [line for line in found if not SKIPPED.search(line)]


ALL = sorted({line for text in PAGES.values() for line in commands(text)})


def words_of(line: str) -> list[str]:
    """The words after ssvae, without comment; NAME is one name, and what ... stands for is left out."""
    words = shlex.split(line, comments=True)
    start = words.index("ssvae" if "ssvae" in words else "ssvae_cli") + 1
    words = [word for word in words[start:] if not word.endswith("...")]
    return [re.sub("methods/NAME|claims/NAME", lambda name: NAMES[name[0]], word) for word in words]


def first_job(words: list[str]) -> list[str]:
    """One run in the place of a sweep: the first of each row of values; Hydra's own settings left out."""
    ours = [word for word in words if word != "-m" and not re.match(r"\+*hydra[/.]", word)]
    if "-m" in words:
        for override in OverridesParser.create().parse_overrides(ours):
            if override.is_sweep_override():
                interval = override.is_interval_sweep()
                first = override.value().start if interval else next(override.sweep_string_iterator())
                ours[ours.index(override.input_line)] = f"{override.get_key_element()}={first}"
    return ours


def compose(line: str) -> None:
    """Compose a command's configuration, as the command does. Raises where that fails, or where a key is not there."""
    command, *words = words_of(line)
    write_data(command, words)
    if re.search(r"experiment=claims/\w+( hydra\S*)?$", " ".join(words)):
        return  # trained by test_experiments
    overrides = suiting_overrides(command, first_job(overrides_of(command, words)))
    overrides = first_job(sweep_overrides(resume_overrides(overrides))) if command == "train" else overrides
    choices = [word for word in overrides if re.split("[=@]", word.lstrip("+~"))[0] in known_groups()]
    config = configuration(command, *choices)
    for word in set(overrides) - {*choices}:
        keys = override_name(word).split(".")
        inside = functools.reduce(lambda part, key: part[key], keys[:-1], config)
        assert keys[-1] in inside, f"{word} is no key: {line}"
    preset = next((word.split("=")[1] for word in choices if word.startswith("experiment=")), None)
    left_out = [word for word in set(overrides) - {*choices} if word.startswith("~")]
    refuse_keys_of_preset(OmegaConf.create(configuration(command, *choices, *left_out)), preset)


@functools.cache
def configuration(command: str, *choices: str) -> dict:
    return OmegaConf.to_container(composed(*choices, command=command))


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with what the pages name: a run and a sweep, in name alone, and data."""
    monkeypatch.chdir(tmp_path)
    a_run(Path("RUN"))
    a_run(Path("my runs/lr=0.1,a (1)"))
    Path("DIR").mkdir()
    Path("DIR", "multirun.yaml").write_text("hydra: {overrides: {task: [seed=0]}, job: {config_name: train}}")
    name_again()


def name_again() -> None:
    """Other names of the pages, of the folders RUN and DIR; and PHOTOS and CIFAR."""
    Path("outputs/train/DATE").mkdir(parents=True)
    for name in ("outputs/train/DATE/TIME", "DIR1", "DIR2", "RUNS", "paper", "FOLDER", "first"):
        Path(name).symlink_to(Path("RUN" if name in ("FOLDER", "first") else "DIR").resolve())
    for name in ("PHOTOS", "CIFAR"):
        make_folder(Path(name), size=(32, 32), count=2)


def write_data(command: str, words: list[str]) -> None:
    """The file of data that a command names: series, images as the run's, or pairs of x and y."""
    rng = np.random.default_rng(0)
    shape = (1000,) if command == "mi" else (60, 20, 3) if "dataset=sequences" in words else (60, 8, 8)
    x = rng.integers(0, 256, shape, np.uint8) if "dataset=npz" in words else rng.normal(size=shape)
    for name in {name for word in words for name in re.findall(r"[A-Z]+(?:\.npz)?$", word) if "/" not in word}:
        if not Path(name).is_dir():
            np.savez(
                name if name.endswith(".npz") else open(name, "wb"),
                x=x,
                y=rng.normal(size=len(x)) if command == "mi" else np.arange(len(x)) % 2,
            )


@pytest.mark.parametrize("page", sorted(page for page, text in PAGES.items() if commands(text)))
def test_every_command_of_a_page_composes(page, there):
    earlier = {line for other, text in PAGES.items() if other < page for line in commands(text)}
    for line in sorted({*commands(PAGES[page])} - earlier):
        with pytest.raises(ConfigCompositionException) if line == REFUSED else contextlib.nullcontext():
            compose(line)


@pytest.mark.parametrize("need", NEEDS)
def test_a_command_that_needs_more_than_this_machine_says_so(need):
    for line in ALL:
        marked = need in (MARK.search(line) or [""])[0]
        assert marked == bool(re.search(NEEDS[need], line.split(" #")[0])), line


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head).lower() for head in heads]
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page):
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", PAGES[page]):
        path, _, anchor = link.partition("#")
        target = ((REPOSITORY / page).parent / path).resolve() if path else REPOSITORY / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def site() -> dict:
    return yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())


def leaves(nav: list | str) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for entry in nav for below in entry.values() for page in leaves(below)]


def test_prose_wraps_at_120_columns():
    for page, text in PAGES.items():
        prose = re.sub(r"^(?:    |\||!\[|.*\]\(\S{60,}\)).*$", "", FENCED.sub("", text), flags=re.M)
        assert not [line for line in prose.splitlines() if len(line) > 120], page


def test_no_command_is_taken_for_a_part_of_the_list_before_it():
    """Four spaces after a list continue its last item in Markdown, so a sentence or a comment stands between."""
    item = re.compile(r"^\s*(?:[-*]|\d+\.) ", re.M)
    for page, text in PAGES.items():
        blocks = FENCED.sub("", text).split("\n\n")
        for block, after in zip(blocks, blocks[1:]):
            taken = after.startswith("    ") and not block.startswith("    ") and item.search(block)
            assert not taken, (page, after)


def test_the_site_lists_every_page_once_and_no_other():
    pages = (path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(leaves(site()["nav"])) == sorted(["index.md", *pages])  # index.md: README.md


def test_what_the_site_is_built_with_is_there():
    for path in [*site()["hooks"], *(f"docs/{name}" for name in site()["extra_css"])]:
        assert (REPOSITORY / path).is_file()
    assert "\ndocs =\n" in (REPOSITORY / "setup.cfg").read_text() and site()["strict"]
    assert site()["theme"]["font"] is False and "extra_javascript" not in site(), "nothing is loaded from elsewhere"


def test_the_api_page_shows_every_public_name():
    shown = re.findall(r"^::: (\S+)$", PAGES["docs/api.md"], re.M)
    for name in set(ssvae_cli.__all__) - {"__version__"}:
        public = getattr(ssvae_cli, name)
        path = public.__name__ if isinstance(public, ModuleType) else f"{public.__module__}.{name}"
        assert any(f"{path}.".startswith(f"{each}.") for each in shown), name
    for each in shown:
        assert pkgutil.resolve_name(each)


def test_equations_are_such_that_github_and_the_site_render_the_same():
    """GitHub reads Markdown before TeX in a line, so no backslash stands before a sign there; $$ is left to blocks."""
    for page, text in PAGES.items():
        shown = re.sub(r"^    .*$|`[^`\n]*`", "", FENCED.sub("", text), flags=re.M)
        assert "$$" not in shown, page
        assert not [tex for tex in re.findall(r"\$([^$\n]+)\$", shown) if re.search(r"\\[^a-zA-Z]|\\mathrm", tex)], page
    assert len([1 for language, _ in FENCED.findall(PAGES["docs/concepts.md"]) if language == "math"]) > 10
