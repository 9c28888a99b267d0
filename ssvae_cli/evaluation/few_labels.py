"""The linear probe with few labels, as semi-supervised learning has them."""

from statistics import fmean

from ssvae_cli.errors import require, require_at_least
from ssvae_cli.evaluation.linear_probe import LinearProbe, accuracy
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.evaluation.rows import labelled_share
from ssvae_cli.tracking.missing import Missing

KEYS = ("probe/linear_1_percent/test", "probe/linear_10_percent/test")


class FewLabels:
    """`probe/linear_<share>_percent`: the linear probe on a share of the labels of train, the same in every class.

    The penalty is chosen on validation, with all its labels. The mean over `draws` of the labels, which are the same
    for every run. None where there are no labels."""

    def __init__(self, *, probe: LinearProbe, shares: list[float], draws: int):
        require(len(shares) > 0 and all(0 < share <= 1 for share in shares), f"shares must lie in (0, 1], got {shares}")
        require_at_least(1, draws=draws)
        self.probe, self.shares, self.draws = probe, shares, draws

    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        if split != "test":
            return {}
        keys = {f"probe/linear_{100 * share:g}_percent/test": share for share in self.shares}
        fault = reading.too_few_classes(split) if reading.has_labels() else None
        if fault or not reading.has_labels():
            return dict.fromkeys(keys, fault)
        return {
            key: fmean(self.once(reading, share, seed) for seed in range(self.draws)) for key, share in keys.items()
        }

    def once(self, reading: Reading, share: float, seed: int) -> float:
        """The accuracy on test of a probe on one draw of the labels."""
        train, validation, test = ((reading.features(part), reading.labels(part)) for part in reading.data.splits)
        rows = labelled_share(train[1], share, seed)
        few = tuple(side[rows] for side in train)
        chosen, _ = self.probe.choose(few, validation)  # of at most `compared` rows
        return accuracy(self.probe.refit(few, chosen).weights, *test)
