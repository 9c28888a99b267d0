"""Runs as sections, one a data set and kind of model, of settings: runs that differ in the seed alone."""

from collections.abc import Callable
from dataclasses import dataclass

from ssvae_cli.report.comparison import Estimate, estimate
from ssvae_cli.report.labels import choice, ignored, name, told_apart, varied_keys
from ssvae_cli.report.runs import Run
from ssvae_cli.report.unfinished import Unfinished

# What an ELBO leaves out depends on the kind of model: it is ranked within one kind alone.
PAIRS = "SSVAEs"
UNSTRUCTURED = "Unstructured SSVAEs: one x and one z; their ELBO must not be ranked against that of a pair"
ORDINARY = "Ordinary VAEs: their ELBO keeps log P(x), and must not be ranked against an SSVAE's"
UP_TO_CONSTANTS = ("elbo", "evidence")  # groups of metrics that leave out what no parameter affects
LISTED = 3  # keys that a note names
BY_ESTIMATORS = ("elbo/train", "elbo/validation")  # where the training estimator reads them, with its bias


@dataclass(frozen=True)
class Setting:
    """Runs that differ in the seed alone. number: by which it is drawn, the same in all sections."""

    label: str
    runs: tuple[Run, ...]
    number: int

    def by_seed(self, metric: str) -> dict[int, float]:
        """Seed -> value, of the runs that have one."""
        return {run.seed: value for run in self.runs if (value := run.number(metric)) is not None}

    def of(self, metric: str) -> Estimate | None:
        """A metric over seeds; None if no run has it."""
        return estimate(self.by_seed(metric).values())

    def curve(self, metric: str) -> list[tuple[int, Estimate]]:
        """(epoch, estimate) of a metric of metrics.jsonl."""
        epochs: dict[int, list[float]] = {}
        for line in (line for run in self.runs for line in run.history):
            if isinstance(line.get(metric), (int, float)):
                epochs.setdefault(line["epoch"], []).append(line[metric])
        return [(epoch, estimate(values)) for epoch, values in sorted(epochs.items())]


@dataclass(frozen=True)
class Section:
    """The settings of one data set and kind of model. kind: its name and, but for PAIRS, what its ELBO
    must not be compared with."""

    dataset: str
    kind: str
    settings: tuple[Setting, ...]

    @property
    def runs(self) -> list[Run]:
        return [run for setting in self.settings for run in setting.runs]

    @property
    def title(self) -> str:
        return self.dataset if self.kind == PAIRS else f"{self.dataset}: {self.kind.partition(':')[0]}"

    @property
    def note(self) -> str:
        """How its ELBO may be compared, and what differs in the reading; '' where nothing does."""
        said = [self.kind.partition(":")[2].strip()] if self.kind != PAIRS else []
        if not self.is_of_one("pairs"):
            said.append("the settings differ in their pairs, and so in the constants of the ELBO")
        if unlike := self.read_unlike():
            keys = ", ".join(unlike[:LISTED]) + " and more" * (len(unlike) > LISTED)
            said.append(f"the settings were read under several values of {keys}")
        text = "; ".join(said)
        return f"{text[0].upper()}{text[1:]}." if said else ""

    def read_unlike(self) -> list[str]:
        """The keys of evaluation with several values in the runs; a metric that some of them lack does not count."""
        keys = dict.fromkeys(key for run in self.runs for key in run.config if key.startswith("evaluation."))
        several = lambda key: len({repr(run.config[key]) for run in self.runs if key in run.config}) > 1
        return [key for key in keys if key != "evaluation.test" and several(key)]

    def is_of_one(self, group: str) -> bool:
        """Whether all settings have the same keys of a group."""
        keys = [{key: v for key, v in run.config.items() if key.startswith(f"{group}.")} for run in self.runs]
        return all(each == keys[0] for each in keys)

    def ranks(self, metric: str) -> bool:
        """Whether a metric has a best: an ELBO has none over several kinds of pairs, as the log P_true that it leaves
        out is of the pairs, and none where each setting's own estimator reads it."""
        constants_differ = metric.split("/")[0] in UP_TO_CONSTANTS and not self.is_of_one("pairs")
        return not (constants_differ or self.differs_in_bias(metric))

    def differs_in_bias(self, metric: str) -> bool:
        """Whether the training estimators read a metric, and differ: of explicit priors, and of any while training."""
        if metric not in BY_ESTIMATORS or self.is_of_one("estimator"):
            return False
        by_scores = [run.number("mi/infonce/validation") is not None for run in self.runs]  # bounds, and so the ELBO
        return metric == "elbo/train" or not all(by_scores)


def sections_of(runs: list[Run]) -> list[Section]:
    """The sections of runs, data sets and settings in order of appearance."""
    datasets = grouped(runs, dataset_identity)
    firsts = [members[0] for members in datasets.values()]
    keys = [key for key in varied_keys(firsts) if key.startswith("dataset.")]
    names = told_apart([name(run, keys, choice(run, "dataset")) for run in firsts], firsts, is_of_dataset)
    varied = [key for key in varied_keys(runs) if not is_of_dataset(key) and key != "decoder"]  # sections differ in it
    numbers: dict[str, int] = {}
    sections = []
    for dataset, of_dataset in zip(names, datasets.values()):
        for kind, of_kind in grouped(of_dataset, kind_of).items():
            settings = grouped(of_kind, identity)
            firsts = [members[0] for members in settings.values()]
            labels = [name(run, varied) or f"prior={choice(run, 'prior')}" for run in firsts]
            labels = told_apart(labels, firsts, lambda key: not is_of_dataset(key))
            numbered = [numbers.setdefault(label, len(numbers)) for label in labels]
            members = map(tuple, settings.values())
            sections.append(Section(dataset, kind, tuple(map(Setting, labels, members, numbered))))
    return sections


def newest_of_each_seed(runs: list[Run]) -> tuple[list[Run], list[Unfinished]]:
    """The runs that count, and the others: a seed that ran twice in one setting would pass for two seeds."""
    newest = {(identity(run), run.seed): run for run in sorted(runs, key=lambda run: run.began)}
    kept, repeated = [], []
    for run in runs:
        other = newest[(identity(run), run.seed)]
        if run is other:
            kept.append(run)
        else:
            reason = f"seed {run.seed} of this setting ran again in {other.folder}, which counts"
            repeated.append(Unfinished(run.folder, "repeated", reason))
    return kept, repeated


def grouped(runs: list[Run], key: Callable[[Run], str]) -> dict[str, list[Run]]:
    """The runs by a key, both in order of appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def identity(run: Run) -> str:
    """The configuration without what is ignored: what runs of one setting share."""
    return repr(sorted((key, repr(value)) for key, value in run.config.items() if not ignored(key)))


def is_of_dataset(key: str) -> bool:
    return key.partition(".")[0] == "dataset"


def dataset_identity(run: Run) -> str:
    """The configuration of the data set alone."""
    config = [(key, repr(value)) for key, value in run.config.items() if is_of_dataset(key) and not ignored(key)]
    return repr((choice(run, "dataset"), sorted(config)))


def kind_of(run: Run) -> str:
    """The kind of model: what its ELBO leaves out."""
    target = str(run.config.get("decoder._target_", ""))
    explicit = any(key.startswith("decoder.") for key in run.config)
    stored = "implicit_joint" if target.endswith("ImplicitJoint") else "conv" if explicit else "implicit"
    decoder = run.choices.get("decoder") or stored
    if decoder == "implicit":
        return UNSTRUCTURED if run.number("views") == 1 else PAIRS
    return ORDINARY if decoder == "conv" else f"decoder={decoder}: their ELBO is ranked within this decoder alone"
