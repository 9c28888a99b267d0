"""A value with its standard error, and the reasons why it is no estimate."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.errors import counted
from ssvae_cli.tracking.missing import Missing

BLOCKS = 10
INTERVAL = ("", "/error", "/low", "/high")  # ends of the names of an Enclosed's numbers
Z95 = 1.96  # standard errors to each side of an interval of 95%


class Estimate(NamedTuple):
    """An estimate and its standard error."""

    value: float
    error: float

    @classmethod
    def of_mean(cls, terms: Tensor) -> "Estimate":
        """The mean of independent terms, [N]; its error as of `error_of_groups`, NaN for a single term."""
        error = terms.std().item() / math.sqrt(len(terms)) if len(terms) > 1 else math.nan
        return cls(terms.mean().item(), error_of_groups(error, len(terms)))

    @classmethod
    def of_difference(cls, terms: Tensor, others: Tensor) -> "Estimate":
        """The mean of some terms less that of others, all independent."""
        one, other = cls.of_mean(terms), cls.of_mean(others)
        return cls(one.value - other.value, math.hypot(one.error, other.error))

    @classmethod
    def of_table(cls, estimate: Callable[[Tensor], Tensor], table: Tensor) -> "Estimate":
        """estimate(table), scores of all pairs [B, B], B at least 2; the error by a block jackknife over tenths of
        consecutive pairs, as `error_of_groups`; NaN for 2 pairs, of which none can be left out."""
        if len(table) < 3:
            return cls(estimate(table).item(), math.nan)
        pairs = torch.arange(len(table))
        rest = [pairs[~torch.isin(pairs, block)] for block in pairs.chunk(min(BLOCKS, len(table)))]
        # A pair is left out with its row and its column: the entries of a row are dependent.
        values = torch.stack([estimate(table[rows][:, rows]) for rows in rest]).double()
        error = ((len(values) - 1) * values.var(correction=0)).sqrt().item()
        return cls(estimate(table).item(), error_of_groups(error, len(values)))

    def failure(self) -> str | None:
        """Why this is no estimate of I, or None. I is at least 0; a large error makes it uninformative."""
        if not math.isfinite(self.value):
            return f"it reads {self.value}"
        if not math.isfinite(self.error):
            return "too few pairs for a standard error"
        if self.error == 0:
            return "too few pairs: nothing varies"
        if self.value < -0.5 and self.value < -3 * self.error:
            return f"diverged: reads {self.value:.3g} nats, where I is at least 0"
        wide = self.error > max(1.0, abs(self.value) / 2)
        return f"diverged: standard error {self.error:.2g} nats" if wide else None


def error_of_groups(error: float, groups: int) -> float:
    """A standard error found from so many independent groups, enlarged for what it does not know of itself: 1.96 of it
    reach as far as Student's t with groups - 1 degrees of freedom."""
    from scipy.special import stdtrit  # slow to import

    return error * float(stdtrit(groups - 1, 0.975)) / Z95


class Enclosed(NamedTuple):
    """An estimate, its standard error and the ends of an interval of 95%; Missing with the reason where there is none,
    None where it does not apply.

    An end is certified: it comes from a bound, and not from the value and its error."""

    value: float | Missing | None
    error: float | Missing | None
    low: float | Missing | None
    high: float | Missing | None

    @classmethod
    def lacking(cls, why: Missing | None) -> "Enclosed":
        """None of the four."""
        return cls(why, why, why, why)

    def named(self, key: str) -> dict[str, float | Missing | None]:
        """The four numbers as `key`, `key/error`, `key/low` and `key/high`."""
        return dict(zip((f"{key}{end}" for end in INTERVAL), self))

    def within(self, least: float, most: float = math.inf, what: str = "") -> "Enclosed":
        """Missing where it lies outside what is possible by 3 errors; what: the most is."""
        if isinstance(self.value, Missing):
            return self
        beyond = max(self.value - most, least - self.value)
        if beyond <= 3 * self.error:
            return self
        end = f"above the maximum of {most:g}, {what}" if self.value > most else f"below the minimum of {least:g}"
        return Enclosed.lacking(Missing(f"it reads {self.value:.2f} nats, {end}"))


def as_kl(enclosed: Enclosed) -> Enclosed:
    """A KL, Missing where it reads below 0 by more than chance."""
    return enclosed.within(0.0)


def rest_of_kl(whole: Enclosed, part: Enclosed) -> float | Missing:
    """What a part of a KL leaves of it, itself a KL, nats; Missing as one of the two is, or as of `as_kl`."""
    for kl in (whole, part):
        if isinstance(kl.value, Missing):
            return kl.value
    rest = Enclosed(whole.value - part.value, math.hypot(whole.error, part.error), None, None)
    return as_kl(rest).value


def too_few_pairs(sizes: dict[str, int], least: int = 2) -> Missing | None:
    """Why scores of pairs say nothing: a part of the data, by name, with fewer than `least` rows."""
    for part, size in sizes.items():
        if size < least:
            needs = "a pair needs another one as its negative" if least == 2 else f"at least {least} are needed"
            return Missing(f"{part} has {counted(size, 'row')}, and {needs}")
    return None


def too_few_classes(labels: dict[str, Tensor], split: str) -> Missing | None:
    """Why an accuracy on `split` says nothing: labels, int64 [N], below 0 where there is none, of fewer than 2 classes,
    or of no class that train has, as where no two samples share a label. labels: by the parts of the data whose
    labels are used, `split` one of them.

    Whoever always names the only class is right. Validation, where a penalty is chosen, needs one label."""
    known = {part: y[y >= 0] for part, y in labels.items()}
    for part, y in known.items():
        least = 1 if part == "validation" != split else 2
        classes = len(y.unique())
        if classes < least:
            found = f"{len(y)} labels of one class" if len(y) > 1 else "a single label" if classes else "none"
            needed = "2 classes" if least == 2 else "1 class"
            return Missing(f"accuracy needs labels of at least {needed} in {part}, which has {found}")
    if "train" in known and not torch.isin(known[split], known["train"]).any():
        return Missing(f"accuracy needs classes that train and {split} share, and they share none")
    return None
