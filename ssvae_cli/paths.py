"""Paths as users write them, and commands as users can paste them."""

import os
import re
import shlex
from pathlib import Path

from ssvae_cli.errors import UserError, require

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # breaks the line, or is no character
MISREAD = re.compile(r"[-+~]|(null|\?\?\?)$", re.I)  # an option, a change of the configuration, a home; no value


def working_folder() -> str:
    """Where the program runs. Raises UserError where that was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise UserError("the working folder does not exist any more; cd to one that does") from None


def expanded(path: str, setting: str) -> str:
    """A path with its `~` or `~user` replaced by a home folder, as in a shell. Raises UserError where none is known.

    setting: the key that named the path. A file or folder whose own name begins with ~ is found as well."""
    require_path(path, setting)
    home = os.path.expanduser(path)
    if not path.startswith("~") or (os.path.exists(path) and (home == path or not os.path.exists(home))):
        return path
    user = path.split("/")[0]
    require(home != path, f"{setting}={path}: the home folder {user} is not known; a name with a ~ is written ./{user}")
    return home


def require_path(path: str, setting: str) -> None:
    """Raise UserError for no path at all."""
    require(path != "", f"{setting} is empty; give a path, ./ for the working folder")


def existing_file(path: str, setting: str) -> Path:
    """The file at a path, `~` expanded. Raises UserError where there is none."""
    file = Path(expanded(path, setting))
    if not file.is_file():
        why = "a folder; give a file" if file.is_dir() else "no plain file" if file.exists() else "no such file"
        raise UserError(f"{setting}={path}: {why}")
    return file


def existing_folder(path: str, setting: str, remedy: str) -> Path:
    """As `existing_file`, of a folder. remedy: what to give, for the error line."""
    folder = Path(expanded(path, setting))
    require(folder.is_dir(), f"{setting}={path}: {'no folder' if folder.exists() else 'no such folder'}; {remedy}")
    return folder


def existing(path: str, setting: str, remedy: str = "") -> Path:
    """As `existing_file`, of a file or folder. remedy: what to give, for the error line."""
    place = Path(expanded(path, setting))
    require(place.exists(), f"{setting}={path}: no such file or folder{remedy and f'; {remedy}'}")
    return place


def names_file(word: str) -> bool:
    """Whether a word that may also be a library's name, as of weights, is the name of a file."""
    return "/" in word or "." in word


def typed(path: str | Path) -> str:
    """A path as it is typed: with ./ in front where its first characters would be read as something else."""
    return f"./{path}" if MISREAD.match(str(path)) else str(path)


def shell_command(*words: str) -> str:
    """A command line that a shell (bash, zsh) reads as exactly these words; always one line."""
    return " ".join(map(shell_word, words))


def shell_word(word: str) -> str:
    """One word, quoted for a shell where that is needed."""
    if not UNPRINTABLE.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + UNPRINTABLE.sub(lambda char: "".join(rf"\{b:03o}" for b in os.fsencode(char[0])), escaped) + "'"


def literal(text: str) -> str:
    """Text in which OmegaConf finds no interpolation: ${x} is \\${x}."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
