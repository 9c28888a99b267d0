"""What Hydra composes, and the command would not read, or not do without."""

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import is_dataclass
from typing import get_type_hints

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.cli.overrides import override_name
from ssvae_cli.cli.own_keys import mappings, own_keys
from ssvae_cli.cli.suggestions import left_out
from ssvae_cli.cli.suiting import suits_file
from ssvae_cli.errors import UserError, allowed, in_yaml, require
from ssvae_cli.instantiate.groups import known_groups
from ssvae_cli.instantiate.signatures import requires, takes
from ssvae_cli.instantiate.source import class_attribute


def is_empty(key: str) -> Callable[[DictConfig], bool]:
    """Of a configuration: whether all parts that it has by name below a key are left out."""
    return lambda config: not any((OmegaConf.select(config, key) or {}).values())


def has_fixed_law(config: DictConfig) -> bool:
    """Whether the prior is one of this package's whose law has no parameters, or fixed ones."""
    target = str(config.prior.get("_target_"))
    law, fixed_by = (class_attribute(target, name, "()") for name in ("law", "fixed_by"))
    settings = ast.literal_eval(fixed_by or "()")  # of a class elsewhere nothing is known before it is built
    return law == "()" or (bool(settings) and all(config.prior.get(key) in settings[key] for key in settings))


def is_of_one_view(config: DictConfig) -> bool:
    """Whether the prior is one of this package's of a single x."""
    return class_attribute(str(config.prior.get("_target_")), "views", "2") == "1"


# The commands, overrides of theirs, what they are not read under, and why.
UNREAD = (
    (("train",), r"optimizer\.prior_lr=(?!auto$)", has_fixed_law, "no parameter of the prior learns at that rate"),
    (
        ("train",),
        r"trainer\.eval_every=|evaluation\.(?!metrics|test=false)",
        is_empty("evaluation.metrics"),
        "evaluation has no metric, and nothing is read",
    ),
    (
        ("train", "bench"),
        r"pairs\.times=",
        lambda config: config.pairs.get("negatives") == "across",
        "candidates are of other sequences, with pairs.negatives=across",
    ),
    (
        ("train", "bench"),
        r"encoder_prime(=(?!shared$)|\.)|encoder@encoder_prime=(?!null$)|pairs\.views=(?!2$)",
        is_of_one_view,
        "the prior is of one x, without an x'",
    ),
    (("mi",), r"training\.|(.*@)?critic[.=]", is_empty("estimators"), "no estimator is left, nor a critic"),
)


def refuse_unread_settings(command: str, jobs: Sequence[tuple[DictConfig, list[str]]]) -> None:
    """Raise UserError for a setting that is given and read by none of the jobs of a sweep, or not by the one run; what
    the data set's file brings is not given.

    jobs: of each the configuration, composed, and the overrides."""
    of_jobs = []
    for config, overrides in jobs:
        rules = [(kind, why) for commands, kind, is_so, why in UNREAD if command in commands and is_so(config)]
        matches = [(override, why) for override in overrides for kind, why in rules if re.match(kind, override)]
        matches = [(override, why) for override, why in matches if not suits_file(command, override, overrides)]
        of_jobs.append({override_name(override): f"{override}: {why}; leave it out" for override, why in matches})
    for key in of_jobs[0] if of_jobs else ():
        require(not all(key in unread for unread in of_jobs), of_jobs[0][key])


def refuse_unread_keys(config: DictConfig, overrides: list[str], command: str, chosen: Iterable[str]) -> None:
    """Raise UserError for an override by which the command would be without what it needs, or which it would not read.

    Those are a value in place of several keys, ~key of what the command needs, +key=value that no part has, nor Hydra,
    several choices of one group, two of g', and the key of g' that is g's. config: composed. chosen: its groups, added
    ones among them, as they are typed."""
    for key in mappings(command):
        value = config.get(key, {})  # no key where all that stood below it were taken out
        fault = f"{key} must be a mapping, whose keys are given as {key}.KEY=..., got {in_yaml(value)}"
        require(isinstance(value, (dict, DictConfig)), fault)
    known = own_keys(command)
    given = {override_name(override): override for override in overrides if not override.startswith("~")}
    if {"encoder_prime", "encoder@encoder_prime"} <= set(given):
        both = f"{given['encoder_prime']} and {given['encoder@encoder_prime']}"
        raise UserError(f"{both}: each chooses g'; give one of the two")
    for override in overrides:
        key = override_name(override)
        group, _, package = key.partition("@")
        if key == "encoder_prime.latent_dim":
            raise UserError(f"unknown key {key}: z' has the dimension of z; allowed: encoder.latent_dim")
        if override.startswith("~") and is_needed(key, config, known):
            raise UserError(left_out(key))
        if group in known_groups() and override.partition("=")[2].startswith("["):
            raise UserError(f"{override}: a group takes one choice, and no list; ssvae {command} --help lists them")
        if override.startswith("+") and key not in chosen:
            refuse_unknown(key, config, known)
        elif override.startswith("+") and package and not package.startswith("_global_"):
            refuse_unknown(package, config, known)


def refuse_unknown(key: str, config: DictConfig, known: set[str]) -> None:
    """Raise UserError for an added key that neither the command nor, as far as its source tells, the part reads."""
    top, (above, _, name) = key.split(".")[0], key.rpartition(".")
    if top == "hydra":
        return refuse_unknown_of_hydra(key)
    if top not in known:
        raise UserError(f"unknown key {key}; {allowed(top, {own for own in known if own in config})}")
    part = OmegaConf.select(config, above) if above else None
    if isinstance(part, DictConfig) and "_target_" in part and not takes(str(part._target_), name):
        raise UserError(f"unknown key {key}; {allowed(name, {own for own in part if own != name and own[0] != '_'})}")


def refuse_unknown_of_hydra(key: str) -> None:
    """Raise UserError for a key of Hydra's configuration that it does not read; a mapping of its takes any name."""
    kind = HydraConf
    for word in key.split(".")[1:]:
        if not is_dataclass(kind):
            return
        fields = get_type_hints(kind)
        require(word in fields, f"unknown key {key}; {allowed(word, fields)}")
        kind = fields[word]


def is_needed(key: str, config: DictConfig, known: set[str]) -> bool:
    """Whether a key that was taken out is one of the command's, or one without which its part cannot be built."""
    above, _, name = key.replace("/", ".").rpartition(".")
    if not above:
        return name in known and name not in config
    part = OmegaConf.select(config, above)
    is_part = isinstance(part, DictConfig) and "_target_" in part and name not in part
    return is_part and requires(str(part._target_), name)
