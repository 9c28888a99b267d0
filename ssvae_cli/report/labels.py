"""Names that tell settings apart: the values of the keys that vary among runs."""

from collections.abc import Callable

from ssvae_cli.report.runs import Run

# Keys in which the runs of one setting may differ: the seed, and what changes no number.
IGNORED = (
    "seed",
    "resume",
    "sweep",
    "trust",
    "trainer.device",
    "trainer.checkpoint_every",
    "trainer.keep_best",
    "trackers",
    "dataset.download",
    "dataset.workers",
    "dataset.memory_gb",
)
MOST_ADDED = 3  # keys that are added where the given ones leave two settings alike


def choice(run: Run, group: str) -> str:
    """What was chosen in a group; the class where the choice is not recorded."""
    return str(run.choices.get(group) or run.config.get(f"{group}._target_", "none"))


def override_key(override: str) -> str:
    """`prior` of `prior=mi` and of `+prior=mi`."""
    return override.partition("=")[0].lstrip("+~")


def given_keys(runs: list[Run]) -> list[str]:
    """The keys on the command lines of some runs, in order of appearance."""
    keys = {override_key(override): None for run in runs for override in run.overrides}
    return [key for key in keys if not ignored(key)]


def ignored(key: str) -> bool:
    """Whether a key, or the group of group@key, is one of IGNORED or below one."""
    place = key.partition("@")[2] or key
    return any(place == each or place.startswith(f"{each}.") for each in IGNORED)


def effective(run: Run, key: str) -> str | None:
    """The value of a key in a run, given or not; None where the run has no such key."""
    if key in run.choices:
        return written(run.choices[key])
    if key in run.config:
        return written(run.config[key])
    given = [override.partition("=")[2] for override in run.overrides if override_key(override) == key]
    return given[-1] if given else None


def written(value: object) -> str:
    """A value as YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def varied_keys(runs: list[Run]) -> list[str]:
    """The given keys whose values differ among runs."""
    return [key for key in given_keys(runs) if len({effective(run, key) for run in runs}) > 1]


def name(run: Run, keys: list[str], head: str = "") -> str:
    """`prior=mi optimizer.lr=0.01`, after a head."""
    values = [f"{key}={value}" for key in keys if (value := effective(run, key)) is not None]
    return " ".join([head, *values]).strip()


def told_apart(names: list[str], runs: list[Run], concerns: Callable[[str], bool]) -> list[str]:
    """The names, those that are alike followed by keys of the configuration in which their runs differ.

    concerns: which keys these may be."""
    names = list(names)
    for alike in {name for name in names if names.count(name) > 1}:
        places = [i for i, other in enumerate(names) if other == alike]
        keys = dict.fromkeys(key for i in places for key in runs[i].config if concerns(key) and not ignored(key))
        differing = [key for key in keys if len({str(runs[i].config.get(key)) for i in places}) > 1]
        for i in places:
            names[i] = name(runs[i], differing[:MOST_ADDED], alike)
    return names
