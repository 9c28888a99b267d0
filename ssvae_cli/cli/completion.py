"""Completion in the shell: Hydra's, of a command's words as Hydra knows them, without what the command refuses,
and with what Hydra does not know of."""

import contextlib
import glob
import re
from collections.abc import Iterator
from pathlib import Path

from ssvae_cli.cli.overrides import PATH_KEY, PLACE, is_never_read
from ssvae_cli.cli.own_keys import own_file, own_keys
from ssvae_cli.cli.suggestions import own_folders
from ssvae_cli.instantiate.groups import choices, known_groups

ZSH_LOADS = "autoload -Uz compinit bashcompinit; (( ${+functions[compdef]} )) || compinit; bashcompinit"  # bash's words
ALONE = ("-m", "--multirun")  # options that no value follows


def line_for_hydra(line: str, command: str) -> str:
    """The line that is being completed, without the command and without paths that stand alone: Hydra takes its first
    word as the program's name, and each other one as an override."""
    program, *words = re.sub(rf"^(\s*\S+)\s+{command}\b", r"\1", line).lstrip().split(" ")
    known = [
        word
        for before, word in zip([program, *words], words[:-1], strict=False)
        if "=" in word or word[:1] in ("-", "+", "~") or (before.startswith("-") and before not in ALONE)
    ]
    return " ".join([program, *known, *words[-1:]])


@contextlib.contextmanager
def completing(command: str) -> Iterator[None]:
    """Inside, Hydra offers no group, choice or key that the command refuses, and besides its own words those of
    `more_of`."""
    from hydra.plugins.completion_plugin import CompletionPlugin

    query = CompletionPlugin._query

    def read(plugin: CompletionPlugin, config_name: str | None, line: str) -> list[str]:
        *words, last = line.split(" ")
        offered = [*query(plugin, config_name=config_name, line=line), *more_of(command, last, own_folders(words))]
        alone = places(last) if command in PLACE and last and "=" not in last else []  # a path without its key
        return [*(word for word in dict.fromkeys(offered) if is_taken(command, word)), *alone]

    CompletionPlugin._query = read
    try:
        yield
    finally:
        CompletionPlugin._query = query


def more_of(command: str, word: str, folders: list[str]) -> list[str]:
    """How an unfinished word may go on: a group under another name, as group@package=, its choices, one after a comma,
    one that lies in a folder and one of the user's own `folders` too; a path, where the key takes one."""
    name, equals, value = word.partition("=")
    if not equals:
        named = [f"{group}@{package}=" for group, package in own_file(command)[1] if package]
        return [group for group in named if group.startswith(word)]
    before, comma, last = value.rpartition(",")
    begun = f"{name}={before}{comma}"
    group = name.lstrip("+").split("@")[0]
    mine = [folder for folder in folders if group in known_groups()]
    own = [path.stem for folder in mine for path in sorted(Path(folder).expanduser().glob(f"{group}/*.yaml"))]
    offered = [f"{begun}{choice}" for choice in [*choices(group), *own]]
    if PATH_KEY.fullmatch(name):
        offered += [f"{begun}{place}" for place in places(last)]
    return [choice for choice in offered if choice.startswith(word)]


def places(begun: str) -> list[str]:
    """The files and folders whose paths begin so; none with a space, at which the shell would divide them."""
    return [path for path in glob.iglob(f"{glob.escape(begun)}*") if not re.search(r"\s", path)]


def is_taken(command: str, word: str) -> bool:
    """Whether the command takes a word that begins so: no group of another command, nor one without its package."""
    name = word.lstrip("+~").partition("=")[0]
    top = re.split("[./@]", name)[0]
    known = top == "hydra" or "@" in name or any(key.split("/")[0] == top for key in own_keys(command))
    packages = {package for group, package in own_file(command)[1] if group == name}
    placed = "" not in packages and len(packages) > 0
    return known and not placed and not is_never_read(command, name) and not re.search(r"(^|\.)_", name)
