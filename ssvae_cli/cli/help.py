"""What `ssvae COMMAND --help` lists: the groups that the command has, and its keys with what they mean."""

import json
import os
import re
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from ssvae_cli.cli.overrides import RUN, WRITES_NOTHING, is_never_read
from ssvae_cli.instantiate.groups import IN_FOLDERS

WIDTH = 100
LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>.*?)(?: +# (?P<meaning>.*))?$")
PATHS = dict.fromkeys(RUN, " RUN") | {"report": " DIR ...", "runs": " [DIR ...]", "mi": " [FILE.npz]"}  # without a key
OPTIONS = {  # of every command
    "-m key=a,b": "a sweep",
    "--cfg job": "the composed configuration",
    "--config-dir DIR": "choices of your own",
}


def usage(*, _root_) -> str:
    """The first line: the paths that a command takes, and its settings. _root_: passed by OmegaConf."""
    command = _root_.hydra.job.config_name
    return f"usage: ssvae {command}{PATHS.get(command, '')} [group=choice] [key=value] ..."


def options(*, _root_) -> str:
    """The last line: the options that the command takes. _root_: passed by OmegaConf."""
    left_out = ("-m key=a,b",) if _root_.hydra.job.config_name in WRITES_NOTHING else ()
    return "; ".join(f"{option}: {meaning}" for option, meaning in OPTIONS.items() if option not in left_out)


def groups() -> str:
    """A paragraph for each group of the configuration at hand, as it is typed: its choices, the chosen one first."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.object_type import ObjectType

    loader, chosen = GlobalHydra.instance().config_loader(), {}
    command = HydraConfig.get().job.config_name
    for key, choice in HydraConfig.get().runtime.choices.items():
        group, _, package = key.partition("@")
        if not group.startswith("hydra") and not is_never_read(command, group):
            chosen.setdefault(group, {})[package] = str(choice or "null")
    listed = {}
    for group, packages in chosen.items():
        options = loader.get_group_options(group)
        folders = loader.get_group_options(group, ObjectType.GROUP) if group == IN_FOLDERS else ()
        options += [f"{folder}/{name}" for folder in folders for name in loader.get_group_options(f"{group}/{folder}")]
        if len(packages) > 2:  # as metric@evaluation.metrics.NAME
            prefix = os.path.commonprefix(list(packages))
            packages = {f"{prefix}NAME": ", ".join(packages.values())} if prefix else packages
        for package, choice in packages.items():
            words = dict.fromkeys([*choice.split(", "), *options])
            listed[f"{group}@{package}" if package else group] = ", ".join(words)
    return "\n".join(folded(f"{name:<16} {words}", 19) for name, words in sorted(listed.items())) or "  none"


def keys(*, _root_) -> str:
    """A line for each key of the configuration at hand: as it is typed, then the comment in its YAML file.

    _root_: the configuration, passed by OmegaConf. $ is doubled, as the template requires."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(_root_)
    hydra = plain.pop("hydra")
    folders, command = [folder_of(source) for source in hydra["runtime"]["config_sources"]], hydra["job"]["config_name"]
    meant = {}
    for group, choice in hydra["runtime"]["choices"].items():
        if choice and not group.startswith("hydra"):
            group, _, package = group.partition("@")
            meant |= meanings(f"{group}/{choice}", package or group.replace("/", "."), folders)
    meant |= meanings(command, "", folders)  # which knows better what the key of a choice is to it
    groups = hydra["runtime"]["choices"]  # null ones are listed with their choices
    of_command = [item for item in settings(plain) if item[0] not in groups and not is_never_read(command, item[0])]
    listed = {f"{key}={value}": meant.get(key, "") for key, value in of_command}
    column = max(len(setting) for setting in listed if len(setting) < WIDTH // 2)
    lines = (folded(f"{setting:<{column}}  {meaning}", column + 4) for setting, meaning in listed.items())
    return "\n".join(lines).replace("$", "$$")


def folded(text: str, indent: int) -> str:
    """A paragraph whose first line is set in by 2, the others by `indent`."""
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent=" " * indent, break_on_hyphens=False)


def settings(config: dict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, value as it is typed) of every key that is a user's to set."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from settings(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")
            yield f"{prefix}{key}", text


def folder_of(source: dict) -> Path:
    """Where a source of Hydra's search path keeps its files."""
    return Path(str(files(source["path"]))) if source["schema"] == "pkg" else Path(source["path"])


def meanings(name: str, package: str, folders: list[Path]) -> dict[str, str]:
    """{dotted key: the comment on its line} of one YAML file in its package, and of the files that it is based on."""
    path = next((p for p in (folder / f"{name}.yaml" for folder in folders) if p.is_file()), None)
    if path is None:
        return {}
    text, comments = path.read_text("utf-8"), {}
    if text.startswith("# @package _global_"):
        package = ""
    for base in re.findall(r"^  - (\w+|/[\w/]+(?=@_here_))(?:@_here_)?$", text, re.M):
        below = base.lstrip("/") if base.startswith("/") else Path(name).with_name(base).as_posix()
        comments |= meanings(below, package, folders)
    parents: list[tuple[int, str]] = []  # (indent, key) of the lines that enclose the next
    for line in filter(None, map(LINE.fullmatch, text.splitlines())):
        indent = len(line["indent"])
        parents = [*(p for p in parents if p[0] < indent), (indent, line["key"])]
        if line["meaning"]:
            comments[".".join(filter(None, [package, *(key for _, key in parents)]))] = line["meaning"]
    return comments
