"""The config groups of the package, as folders of its configuration."""

import functools
import re
from importlib.resources import files
from pathlib import Path

BASES = "bases"  # a folder of files that choices build on; no group
IN_FOLDERS = "experiment"  # the group whose choices lie in folders too: experiment=methods/simclr


def conf() -> Path:
    """Where the package's configuration is."""
    return Path(str(files("ssvae_cli.conf")))


@functools.cache
def known_groups() -> list[str]:
    """The names of all groups: dataset, encoder, encoder/frame, ...; without Hydra's own."""
    folders = {p.parent.relative_to(conf()).as_posix() for p in conf().rglob("*.yaml")} - {".", BASES}
    return sorted(folder for folder in folders if not folder.startswith(("hydra/", f"{IN_FOLDERS}/")))


def choices(group: str) -> list[str]:
    """The choices of a group; none of what is no group."""
    paths = (conf() / group).glob("**/*.yaml" if group == IN_FOLDERS else "*.yaml")
    names = (path.relative_to(conf() / group).with_suffix("").as_posix() for path in paths)
    return sorted(names) if group in known_groups() else []


def override_for(key: str, value: object, kind: str = "") -> str | None:
    """The override that chooses `value` for a key, as prior/critic=mlp or pairs@pairs.then=noise; None where none does.

    kind: the word for what belongs there, where the key's last word is not the group's."""
    path = key.replace(".", "/")
    if path in known_groups():
        return f"{path}={value}"
    fitting = (g for g in known_groups() if g.split("/")[-1] in (kind, path.split("/")[-1]) and value in choices(g))
    return next((f"{group}@{key}={value}" for group in fitting), None)


def choices_with(group: str, part: str) -> list[str]:
    """The choices of a group with a part that is itself chosen: of `pairs` with a `then`, of `prior` with a critic."""
    brings = re.compile(rf"^  - (?:{part}|/[\w/]+@{part}): ", re.M)
    return [path.stem for path in sorted((conf() / group).glob("*.yaml")) if brings.search(path.read_text("utf-8"))]
