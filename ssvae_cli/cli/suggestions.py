"""What a mistaken option, key or choice was perhaps meant to be: the right hint, or none."""

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.cli.other_words import KEY_OF, hint_of
from ssvae_cli.cli.overrides import override_value, quoted, separated
from ssvae_cli.errors import UserError, did_you_mean, nearest
from ssvae_cli.instantiate.groups import choices, conf, known_groups
from ssvae_cli.paths import expanded, literal, shell_word, typed

HYDRA = re.compile(r"hydra[./]")  # how a setting of Hydra's own begins

# Options of Hydra after which its configuration would not be that of the command; a rerun would unpickle a file.
OTHER_CONFIGURATION = {"config_name", "config_path", "experimental_rerun"}


def refuse_unknown_options(command: str, arguments: list[str]) -> None:
    """Raise UserError for an option that is not Hydra's (a unique prefix is one), where Hydra would print its whole
    usage, and for one that puts another configuration in the command's place."""
    options = get_args_parser()._option_string_actions
    arguments = separated(arguments)[0]
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        word, equals, value = argument.partition("=")
        if not re.match(r"--?[a-zA-Z]", word):
            continue
        meant = [word] if word in options else [option for option in options if option.startswith(word)]
        if not meant:
            value = value if equals or following.startswith("-") else following
            raise UserError(f"unknown option {word}{setting_meant(command, word, value, options)}")
        if {options[option].dest for option in meant} <= OTHER_CONFIGURATION:
            own = "settings of your own are a preset, --config-dir FOLDER experiment=NAME"
            raise UserError(f"{word}: ssvae {command} has its own configuration; {own}")


def setting_meant(command: str, option: str, value: str, options: Iterable[str]) -> str:
    """The end of the line for an unknown option: the setting, option or file that it was perhaps meant to be."""
    key = option.strip("-").replace("-", "_")
    found = key if key in known_groups() else key_meant(key, config_of(command, []))
    if found:
        return f"; a setting has no dashes: {shell_word(f'{found}={value}')}"
    if os.path.exists(option):
        return f"; the file or folder is ./{option}"
    long = {known.strip("-"): known for known in options if known.startswith("--")}
    close = nearest(key, long)
    meant = f"; did you mean '{long[close]}'?" if close else ""
    return f"; a setting is key=value; ssvae {command} --help shows every one{meant}"


def unknown_choice(group: str, choice: str, listed: list[str], overrides: list[str]) -> str:
    """The line for a word that is no choice of its group; what it is elsewhere comes before what is spelt like it."""
    listed = list(dict.fromkeys([*listed, *choices(group)]))  # Hydra lists no folders
    others = [other for other in known_groups() if choice in choices(other)]
    if group == "encoder_prime" and choice in choices("encoder"):
        hint = f"; an encoder of another kind is encoder@encoder_prime={choice}"
    elif known := hint_of(choice):
        hint = f"; {known}"
    elif (
        group == "encoder"
        and not any(name.startswith(choice) for name in listed)
        and (model := torchvision_model(choice))
    ):
        hint = f"; torchvision's is encoder=torchvision encoder.backbone.name={model}"
    elif group == "dataset" and os.path.exists(place := expanded(choice, group)):
        kind, key = ("folder", "root") if os.path.isdir(place) else ("npz", "path")
        own = shell_word(f"dataset.{key}={typed(choice)}")
        hint = f"; a file or folder of your own is dataset={kind} {own}"
    elif others:
        hint = f"; {choice} is a choice of {others[0]}: {others[0]}={choice}"
    else:
        hint = did_you_mean(choice, listed)
    if any(override_value(key, overrides) for key in ("resume", "sweep.resume")) and not own_folders(overrides):
        hint += "; if it is a choice of your own, give its --config-dir again"
    return f"{group}={choice} is not a choice; allowed: {', '.join(sorted(listed))}{hint}"


def torchvision_model(word: str) -> str | None:
    """The model of torchvision that is called so, else the first whose name begins so."""
    plain = {re.sub(r"\W|_", "", name): name for name in torchvision_models()}
    word = re.sub(r"\W|_", "", word.lower())
    return plain.get(word) or next((name for key, name in plain.items() if key.startswith(word)), None)


def torchvision_models() -> list[str]:
    """The classification models, as their source registers them: importing torchvision takes seconds."""
    folder = Path(importlib.util.find_spec("torchvision").origin).with_name("models")
    registered = r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\("
    return sorted(
        name for file in folder.glob("*.py") for name in re.findall(registered, file.read_text("utf-8"), re.M)
    )


def unknown_key(wrong: str, command: str, overrides: list[str]) -> str:
    """The line for a key that the configuration lacks: those that stand where it was looked for, and the nearest."""
    if HYDRA.match(wrong):
        return unknown_key_of_hydra(wrong, command, overrides)
    if wrong in known_groups():
        return f"{wrong} is a group: it takes the name of a choice, and its keys are {wrong}.KEY"
    group, _, part = wrong.rpartition("/")
    value = override_value(wrong, overrides)
    if value in choices(group):  # a part of a choice, which Hydra gives a package and not a group
        return f"unknown group {wrong}; did you mean {group}@{group}.{part}={value}?"
    above = next((key for key in parents(wrong) if f"{key}=null" in overrides), None)
    if above:
        return f"{wrong} is a key of {above}, which {above}=null leaves out; give one of the two"
    config = config_of(command, overrides)
    if value_above := next((key for key in parents(wrong) if is_value(OmegaConf.select(config, key))), None):
        return f"unknown key {wrong}; {value_above} has no keys: it is given as {value_above}=..."
    meant, known = key_meant(wrong, config), siblings(wrong, config)
    if wrong in known:  # Hydra says of a key that is null, and is to be deleted, that it is not there
        return left_out(wrong)
    if meant and "." not in wrong and meant.endswith(f".{wrong}"):
        known = [meant]
    having = [choice for choice in choices(wrong.rpartition(".")[0]) if has_key(*wrong.rsplit(".", 1), choice)]
    hint = f"; did you mean '{meant}'?" if meant else f"; these have it: {', '.join(having)}" if having else ""
    return f"unknown key {wrong}; allowed: {', '.join(sorted(known)) or 'none'}{hint}"


def unknown_key_of_hydra(wrong: str, command: str, overrides: list[str]) -> str:
    """The line for one of Hydra's own settings that is not there; the keys of a launcher are those of its choice."""
    config = config_of(command, overrides, with_hydra=True)
    dotted = wrong.replace("/", ".")
    known, meant = siblings(dotted, config), key_meant(dotted, config)
    hint = f"; did you mean '{meant.replace('.', '/') if '/' in wrong else meant}'?" if meant else ""
    group = dotted.rpartition(".")[0].replace(".", "/")
    if choice := config.hydra.runtime.choices.get(group):
        hint = f"; those are the keys of {group}={choice}, and other choices have others{hint}"
    elif not known:  # a mapping of the user's own, as of environment variables
        hint = f"; a new one is +{wrong}=..."
    return f"unknown key {wrong}; allowed: {', '.join(sorted(known)) or 'none'}{hint}"


def left_out(key: str) -> str:
    """The line for ~key, or ~group, where the command reads it."""
    listed = choices(key.replace(".", "/"))
    remedy = f"allowed: {', '.join(listed)}" if listed else f"leave out the override, or give {key}=..."
    return f"~{key} leaves out what the command needs; {remedy}"


def parents(key: str) -> list[str]:
    """a and a.b of a.b.c."""
    words = key.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


def is_value(node: object) -> bool:
    """Whether a node of a configuration is a number, a word, true or false, or a list."""
    return node is not None and not isinstance(node, DictConfig)


def has_key(group: str, key: str, choice: str) -> bool:
    """Whether a choice of a group has its own key at its top."""
    return re.search(rf"^{re.escape(key)}:", (conf() / group / f"{choice}.yaml").read_text("utf-8"), re.M) is not None


def siblings(wrong: str, config: DictConfig) -> list[str]:
    """The keys where a mistaken one was looked for: below as much of it as there is."""
    parent, node = wrong, None
    while not isinstance(node, DictConfig):
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent) if parent else config
    return [f"{parent}.{key}".lstrip(".") for key in node if not str(key).startswith("_")]


def key_meant(wrong: str, config: DictConfig) -> str | None:
    """The key that a mistaken one was perhaps meant to be.

    That of the same last word in the same group, a sibling that is spelt like it or has it as one of its words, that of
    the same last word elsewhere, or what another program's word for it is here. None where several are as near."""
    last, top = wrong.rpartition(".")[2], wrong.partition(".")[0]
    same = [key for key in keys_of(config) if key.rpartition(".")[2] == last]
    same = [key for key in same if not key.startswith("evaluation.") or top == "evaluation"]
    same.sort(key=lambda key: (not key.startswith(f"{top}."), key.count(".")))
    near = [key for key in same if key.startswith(f"{top}.") and key.count(".") == same[0].count(".")]
    if same and top == wrong or len(near) == 1:
        return same[0]
    around = siblings(wrong, config)
    parent = around[0].rpartition(".")[0] if around else ""
    first, _, rest = wrong.removeprefix(f"{parent}.").partition(".")  # the word that is not there, what follows it
    if close := nearest(first, (key.rpartition(".")[2] for key in around)):
        meant = f"{parent}.{close}".lstrip(".")
        return f"{meant}.{rest}" if f"{meant}.{rest}" in keys_of(config) else meant
    if longer := [key for key in around if first in key.rpartition(".")[2].split("_")] or near:
        return longer[0] if len(longer) == 1 else None
    return same[0] if same else key_for(last, wrong, config)


def key_for(word: str, wrong: str, config: DictConfig) -> str | None:
    """The key that is here what another program calls `word`, if there is one, and the mistaken key is not below it."""
    key = KEY_OF.get(word)
    if key is None or wrong.startswith(f"{key}."):
        return None
    is_there = key.startswith("hydra.") or key in config or OmegaConf.select(config, key) is not None
    return key if is_there else None


def keys_of(config: DictConfig | dict, prefix: str = "") -> Iterator[str]:
    """Every dotted key at any depth, groups among them."""
    plain = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
    for key, value in plain.items():
        if not str(key).startswith("_"):
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from keys_of(value, f"{prefix}{key}.")


def own_folders(overrides: list[str]) -> list[str]:
    """What --config-dir was given."""
    return re.findall(r"(?:^|\0)(?:--config-dir|-cd)[=\0]([^\0]+)", "\0".join(overrides))


def config_of(command: str, overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """A command's configuration under the choices that were made, as far as they can be composed; with_hydra: and
    Hydra's own, below `hydra`."""
    GlobalHydra.instance().clear()
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        own = [quoted(literal(f"file://{Path(folder).absolute()}")) for folder in own_folders(overrides)]
        paths = [f"hydra.searchpath=[{','.join(own)}]"]
        groups = [re.split("[@=]", override)[0] for override in overrides]
        is_choice = [group in known_groups() or with_hydra and group.startswith("hydra/") for group in groups]
        chosen = [override for override, chosen in zip(overrides, is_choice) if chosen and "," not in override]
        try:
            return compose(command, overrides=[*chosen, *paths], return_hydra_config=with_hydra)
        except Exception:  # the choices are themselves what is wrong
            return compose(command, overrides=paths, return_hydra_config=with_hydra)
