"""What ran: the top of a report."""

from collections import Counter
from collections.abc import Iterable

from ssvae_cli.errors import counted
from ssvae_cli.report.labels import choice, effective, given_keys, ignored, written
from ssvae_cli.report.runs import Run
from ssvae_cli.report.settings import Section
from ssvae_cli.report.unfinished import Unfinished


def runs_of(sections: list[Section]) -> list[Run]:
    """All finished runs of a report."""
    return [run for section in sections for run in section.runs]


def facts(sections: list[Section], others: list[Unfinished]) -> list[tuple[str, str]]:
    """(name, text) of what ran."""
    runs, count = runs_of(sections), sum(len(section.settings) for section in sections)
    states = [f"{number} {state}" for state, number in Counter(other.state for other in others).items()]
    began = sorted(run.began for run in runs)
    of = lambda value: listed(value(run) for run in runs)
    said = [
        ("runs", ", ".join([f"{len(runs)} finished, of {counted(count, 'setting')}", *states])),
        ("data", listed(section.dataset for section in sections)),
        ("pairs", of(lambda run: choice(run, "pairs"))),
        ("encoder", of(lambda run: choice(run, "encoder"))),
        ("prior", of(lambda run: choice(run, "prior"))),
        ("epochs", of(lambda run: run.config.get("trainer.epochs"))),
        ("seeds", listed(sorted({run.seed for run in runs}))),
        ("device", of(lambda run: run.values.get("device"))),
        ("versions", listed((run.values.get("versions") for run in runs), between="; ")),
        ("began", " to ".join(dict.fromkeys(f"{time:%Y-%m-%d %H:%M}" for time in (began[0], began[-1])))),
        ("all runs share", shared_choices(runs)),
    ]
    return [(name, text) for name, text in said if text]


def listed(values: Iterable[object], between: str = ", ") -> str:
    """The different values, in order of appearance, but for None."""
    return between.join(dict.fromkeys(str(value) for value in values if value is not None))


def shared_choices(runs: list[Run]) -> str:
    """The choices and the given keys that all runs have in common."""
    groups = [group for group in runs[0].choices if not group.startswith("hydra/") and "@" not in group]
    values = {key: {effective(run, key) for run in runs} for key in dict.fromkeys([*groups, *given_keys(runs)])}
    shared = {key: next(iter(found)) for key, found in values.items() if len(found) == 1 and not ignored(key)}
    return " ".join(f"{key}={value}" for key, value in shared.items() if value not in (None, "null"))


def shared_config(runs: list[Run]) -> dict[str, str]:
    """Every key that has one value in all runs."""
    first, *rest = (run.config for run in runs)
    same = lambda key: all(key in config and config[key] == first[key] for config in rest)
    return {key: written(value) for key, value in first.items() if not ignored(key) and same(key)}
