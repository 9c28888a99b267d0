"""From the words of a command line to Hydra's overrides: a path needs no quotes, and may stand without its key.

The value of a key that takes a path is:

1. one path, whatever its characters, where a file or folder of that name exists;
2. else what the user quoted for Hydra, as 'run="a,b"' or 'run=a\\,b';
3. else, with -m, the paths between its commas, the longest that exist first; without -m one path. In it ${...} is a
   reference to another key.
"""

import os
import re
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Quote, QuotedString, Sweep
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssvae_cli.cli.own_keys import own_keys
from ssvae_cli.errors import UserError, require
from ssvae_cli.instantiate.groups import known_groups
from ssvae_cli.paths import expanded, literal, require_path, shell_command, typed, working_folder

RUN, RUNS = ("eval", "embed", "finetune"), ("report", "runs")
WRITES_NOTHING = ("runs",)  # commands without a folder, and so without sweeps
PLACE = dict.fromkeys(RUN, "run") | dict.fromkeys(RUNS, "runs") | {"mi": "data"}  # the key of a path that stands alone
INSTEAD = {  # command: (the key or key=value under which others are not read, None for always; those others; why)
    "mi": [
        ("data", r"task(\..*)?", "the pairs are those of the file, and no task is drawn"),
        ("lags", r"(training|critic)\..*|.*@(critic|estimators)(\..*)?", "no network is trained"),
        ("lags", "zero_check", "no pairs are shuffled"),
    ],
    "finetune": [(None, r"optimizer\.prior_lr", "a classifier has no prior")],
    "eval": [(None, r"evaluation\.test", "validation and test are read in any case")],
    "runs": [("format=json", "metrics", "every number is printed")],
}
ONE_FOLDER = re.compile(r"resume|sweep\.resume|hydra\..*")  # keys that are never swept, nor lists
PATH_KEY = re.compile(r"resume|init_from|sweep\.resume|runs?|data|[\w.]+\.(path|test_path|root|dir|subdir|weights)")
UNENCODABLE = re.compile(r"[\ud800-\udfff]")  # stands for a byte that is no UTF-8
AS_REFERENCE = "Hydra reads ${ in the name of a folder that it writes to as a reference; rename the folder"
SETTING = re.compile(r"(\+\+?|~)?[A-Za-z_][\w./@-]*=|~[A-Za-z_][\w./@-]*$", re.ASCII)
CONFIG_DIR = ("--config-dir", "-cd")


def override_name(override: str) -> str:
    """The key or group that an override is about."""
    return override.split("=", 1)[0].lstrip("+~")


def override_value(key: str, overrides: list[str]) -> str | None:
    """The value that the overrides give a key, without Hydra's quotes; None for none, or null."""
    values = [o.split("=", 1)[1] for o in overrides if re.match(rf"\+{{0,2}}{re.escape(key)}=", o)]
    return unquoted(values[-1]) if values and values[-1] not in ("", "null") else None


def overrides_of(command: str, arguments: list[str]) -> list[str]:
    """A command line as Hydra takes it: options first, then overrides, every path among them quoted as needed.

    Raises UserError for a word that is neither, and for a path that stands alone where none or another one is."""
    refuse_unusable(arguments)
    arguments, after = separated(arguments)
    options, words, sweeping = options_and_words(arguments)
    paths = [*lone_paths(command, words), *after]
    settings = [word for word in words if word not in paths]
    if paths:
        settings.insert(0, placed(command, paths, settings, sweeping=sweeping))
    refuse_unread(command, settings)
    return [*options, *(plain_path(setting, command, sweeping=sweeping) for setting in settings)]


def refuse_unusable(arguments: list[str]) -> None:
    """Raise UserError for names that neither Hydra nor a YAML file can hold, the working folder's among them."""
    here = working_folder()
    require("${" not in here, f"{here}: {AS_REFERENCE}")
    for word in (here, *arguments):
        require(not UNENCODABLE.search(word), f"{ascii(word)}: such bytes are no UTF-8; rename the file or folder")


def unread_parts(command: str) -> dict[str, str]:
    """The parts that a command has for data sets' sake alone, which bring them to `ssvae train`, and why it reads none.

    Of a command on a run; empty for another."""
    if command not in RUN:
        return {}
    of_run = {part: f"ssvae {command} reads the run's own {part}" for part in ("encoder", "encoder_prime", "pairs")}
    if command == "finetune":
        return of_run | {"trainer": "ssvae finetune has its own epochs, batch_size and device"}
    return of_run | dict.fromkeys(("optimizer", "trainer"), f"ssvae {command} trains the encoder no further")


def refuse_unread(command: str, overrides: list[str]) -> None:
    """Raise UserError for a choice, or a key, that a command would not read: as it takes that part from its run, or as
    another key is given INSTEAD."""
    unread_part = unread_parts(command)
    for override in overrides:
        name = override_name(override)
        part = re.split("[./@]", name)[0]
        require(part not in unread_part, f"{override}: {unread_part.get(part)}; leave it out")
        for key, unread, why in INSTEAD.get(command, ()):
            of_key, _, of_value = (key or "").partition("=")
            given = override_value(of_key, overrides) if key else ""
            applies = given is not None and of_value in ("", given) and override[0] != "~"
            require(
                not (applies and re.fullmatch(unread, name)),
                f"{override}: {f'with {of_key}={given} ' if key else ''}{why}; leave it out",
            )


def is_never_read(command: str, name: str) -> bool:
    """Whether a command refuses this key or group whatever its value."""
    never = (unread for key, unread, _ in INSTEAD.get(command, ()) if key is None)
    return re.split("[./@]", name)[0] in unread_parts(command) or any(re.fullmatch(unread, name) for unread in never)


def separated(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first `--`."""
    index = words.index("--") if "--" in words else len(words)
    return words[:index], words[index + 1 :]


def options_and_words(arguments: list[str]) -> tuple[list[str], list[str], bool]:
    """Hydra's options with their values; the other words, which it takes in one row; whether the options ask for -m."""
    parser = get_args_parser()
    parser.error = refuse
    parsed = parser.parse_intermixed_args(arguments)
    words, options = parsed.overrides, []
    for before, argument in zip(["", *arguments], arguments):
        action = parser._option_string_actions.get(before)
        option, _, value = argument.partition("=")
        if before in CONFIG_DIR:
            options.append(expanded(argument, before))
        elif option in CONFIG_DIR and value:
            options.append(f"{option}={expanded(value, option)}")
        elif argument not in words or (action is not None and action.nargs is None):
            options.append(argument)
    return options, words, bool(parsed.multirun)


def refuse(message: str):
    """In place of argparse's own, which prints the usage."""
    raise UserError(message)


def lone_paths(command: str, words: list[str]) -> list[str]:
    """The words that are paths. One that can be read as key=value is a path if a file or folder is called so, and the
    command has no such key, or no other path."""
    known, place = own_keys(command), PLACE.get(command)
    sure, maybe = [], []
    for word in words:
        key = override_name(word).split("@")[0]
        below = "/" in key and not key.startswith("hydra/") and key not in known_groups()
        if not SETTING.match(word) or below and (word.startswith("~") or os.path.exists(word)):
            sure.append(word)
        elif place and os.path.exists(word):
            (maybe if {key, key.split(".")[0]} & known else sure).append(word)
    given = any(override_name(word) == place for word in words)
    return sure or ([] if given else maybe)


def placed(command: str, paths: list[str], settings: list[str], *, sweeping: bool) -> str:
    """The override that gives the paths that stand alone their key. Raises UserError where they cannot have it."""
    key, first = PLACE.get(command), paths[0]
    missing = next((path for path in paths if not os.path.exists(expanded(path, key or path))), None)
    if key is None or missing is not None:
        no_file = "no file or folder, and " if key else ""
        word = first if key is None else missing
        raise UserError(
            f"'{word}' is {no_file}no setting (key=value){where_it_goes(command, word)}; "
            f"ssvae {command} --help shows every group, choice and key"
        )
    values = [quoted(literal(typed(expanded(path, key)))) for path in paths]
    again = [setting for setting in settings if override_name(setting) == key]
    require(not again, f"{key} is given twice: {first} and {' '.join(again)}")
    if key == "runs":
        return f"{key}=[{','.join(values)}]"
    several = shell_command("ssvae", command, "-m", *map(typed, paths))
    require(len(paths) == 1 or sweeping, f"{key} is one path, got {', '.join(paths)}; a sweep over them is {several}")
    return f"{key}={','.join(values)}"


def where_it_goes(command: str, word: str) -> str:
    """'; ...' with the setting that a path, given alone to a command that trains, was perhaps meant for."""
    if command not in ("train", "bench") or not os.path.exists(word):
        return ""
    path = typed(word)
    if os.path.isdir(os.path.join(word, ".hydra")):
        meant = [f"resume={path}"]
    elif os.path.isdir(word):
        meant = ["dataset=folder", f"dataset.root={path}"]
    else:
        meant = ["dataset=npz", f"dataset.path={path}"]
    return f"; did you mean {shell_command('ssvae', command, *meant)}?"


def plain_path(override: str, command: str, *, sweeping: bool = False) -> str:
    """The override as Hydra has to be given it, where its value is a path; any other as it is."""
    key, _, value = override.partition("=")
    name = override_name(override)
    if key.startswith("~") or not PATH_KEY.fullmatch(name) or value in ("null", "[]"):
        return override
    require_path(value, name)
    parsed = hydra_value(value)
    if isinstance(parsed, str) and not is_there(value) and is_there(parsed):
        value = parsed  # escaped by the user, as \= for =
    is_one = is_there(value) or ONE_FOLDER.fullmatch(name)
    if isinstance(parsed, QuotedString) and not is_there(value):
        return f"{key}={one_path(name, parsed.text)}"
    if not is_one and is_hydras_own(parsed, name, sweeping=sweeping):
        return override
    bracketed = not is_one and name == "runs" and value.startswith("[") and value.endswith("]")
    parts = [value] if is_one else existing_parts(value[1:-1] if bracketed else value)
    if not sweeping and len(parts) > 1 and name != "runs":
        sweep = shell_command("ssvae", command, "-m", override)
        require(not all(map(is_there, parts)), f"{name}={value}: several values are a sweep, {sweep}")
        parts = [value]
    together = ",".join(one_path(name, as_omegaconf(part)) for part in parts)
    return f"{key}=[{together}]" if bracketed or (len(parts) > 1 and not sweeping) else f"{key}={together}"


def is_hydras_own(parsed: Any, name: str, *, sweeping: bool) -> bool:
    """Whether a value is one that only Hydra's grammar can write: a list, quoted strings in it, a function's sweep."""
    if isinstance(parsed, list):  # a data set of a user's own may take several paths
        return "." in name or any(isinstance(value, QuotedString) for value in parsed)
    if isinstance(parsed, ChoiceSweep) and parsed.simple_form:
        lists = name == "runs" or "." in name
        return any(isinstance(value, QuotedString) or lists and isinstance(value, list) for value in parsed.list)
    return sweeping and isinstance(parsed, Sweep)


def existing_parts(value: str) -> list[str]:
    """The paths between commas; a comma that belongs to the name of a file or folder does not divide."""
    words, parts = value.split(","), []
    while words:
        end = next((end for end in range(len(words), 1, -1) if is_there(",".join(words[:end]))), 1)
        part, words = ",".join(words[:end]), words[end:]
        parts.append(part if is_there(part) or part == value else part.strip())
    return parts


def is_there(path: str) -> bool:
    """Whether a file or folder of that name exists."""
    return os.path.exists(path) or os.path.exists(os.path.expanduser(path))


def as_omegaconf(path: str) -> str:
    """A path as OmegaConf reads it; ${...} in one that does not exist is a reference to another key, if it can be."""
    if is_there(path):
        return literal(typed(expanded(path, "path")))
    try:
        OmegaConf.create({"value": path})
    except OmegaConfBaseException:
        return literal(path)
    return path


def one_path(name: str, text: str) -> str:
    """A path as Hydra reads it. text: as OmegaConf reads it. Raises UserError for a folder that Hydra cannot use."""
    shown = f"{name}={text}".replace(r"\${", "${")
    unusable = ONE_FOLDER.fullmatch(name) and r"\${" in text
    require(not unusable, f"{shown}: {AS_REFERENCE}")
    return quoted(expanded(text, name))


def quoted(text: str) -> str:
    """A value that Hydra reads as this text, in quotes only where they are needed."""
    plain = hydra_value(text) == text and "\\" not in text  # before a comma, a backslash means something else
    return text if plain else QuotedString(text, Quote.double).with_quotes()


def unquoted(value: str) -> str:
    """The text that Hydra and OmegaConf make of a value; the value where it is no text."""
    parsed = hydra_value(value)
    text = getattr(parsed, "text", parsed)
    try:
        return OmegaConf.create({"value": text}).value if isinstance(text, str) else value
    except OmegaConfBaseException:
        return value


def hydra_value(value: str) -> Any:
    """What Hydra's grammar reads in a value, quotes and sweeps kept; None where it can read nothing."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")._value
    except Exception:  # Hydra's own, and Python's on what Hydra did not foresee
        return None
