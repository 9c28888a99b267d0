"""How well a representation predicts the known factors of x: z first, then features, then the untrained encoder."""

import logging
from collections.abc import Iterable
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import Factor
from ssvae_cli.evaluation.dci import DCI, dci
from ssvae_cli.evaluation.estimate import too_few_classes
from ssvae_cli.evaluation.linear_probe import LinearProbe
from ssvae_cli.evaluation.reading import SPLITS, Reading
from ssvae_cli.tracking.missing import Missing

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)
ALPHAS = np.logspace(-3, 3, 7)  # of the ridge, chosen by leave-one-out on train
FROM_Z = ("r2_z", "mcc", "accuracy_z")
MEASURES = (*FROM_Z, *DCI._fields, "r2", "accuracy")
KEYS = tuple(f"factors/{measure}/{place}" for measure in MEASURES for place in ("test", "random_init"))
OF_CLASSES = ("accuracy_z", "accuracy")  # DCI is of all factors, the others of numbers
Score = float | Missing | None


class Factors:
    """How well z and features predict the data's known factors, on test; None where there are none.

    From z: `factors/r2_z`, ridge regression to numbers; `factors/mcc`, of single latents; `factors/accuracy_z`, the
    linear `probe` to categories; disentanglement, completeness and informativeness (`dci`). From features:
    `factors/r2`, `factors/accuracy`. Each is a mean over the factors that vary on train and on test, and
    `.../random_init` is that of the untrained encoder. Those of z are also given for the data's groups of factors, as
    `factors/r2_z/content/test`, and r2_z and accuracy_z for single ones.
    """

    def __init__(self, *, probe: LinearProbe):
        self.probe = probe

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, Score]:
        if split != "test":
            return {}
        columns = reading.data.factors
        known = {part: reading.factors(part) for part in SPLITS} if columns else {}
        faults = {i: fault_of(known, i, factor) for i, factor in enumerate(columns)}
        for fault in filter(None, faults.values()):
            log.info("left out of factors/: %s", fault.reason)
        readings = {"test": reading} | ({"random_init": reading.untrained} if reading.untrained else {})
        scores = {place: self.scores(read, known, faults) for place, read in readings.items()}

        def mean(measure: str, chosen: Iterable[int], place: str = "test") -> Score:
            """The mean over those factors that the measure is of, or why there is none; None if it is of none."""
            chosen = [i for i in chosen if measure in DCI._fields or is_of(measure, columns[i])]
            found = [scores[place][measure][i] for i in chosen if not faults[i]]
            return fmean(found) if found else next((faults[i] for i in chosen), None)

        values: dict[str, Score] = {}
        for measure in MEASURES:
            for place, found in scores.items():
                whole = found[measure] if measure in DCI._fields else None  # not a mean over the factors
                values[f"factors/{measure}/{place}"] = mean(measure, faults, place) if whole is None else whole
        groups = {group: [i for i, f in enumerate(columns) if f.group == group] for group in groups_of(columns)}
        singles = {factor.name: [i] for i, factor in enumerate(columns)}
        for measure, named in (*((m, groups) for m in FROM_Z), ("r2_z", singles), ("accuracy_z", singles)):
            parts = {name: mean(measure, chosen) for name, chosen in named.items()}
            values |= {f"factors/{measure}/{name}/test": value for name, value in parts.items() if value is not None}
        return values

    def scores(self, reading: Reading, known: dict[str, Tensor], faults: dict[int, Missing | None]) -> dict[str, dict]:
        """By measure: of each factor without a fault, by its column; of DCI one number, None if all have faults."""
        columns = reading.data.factors
        varying = [i for i in faults if not faults[i]]
        numbers = [i for i in varying if is_of("r2", columns[i])]
        scores: dict[str, dict] = {m: None if m in DCI._fields else {} for m in MEASURES}
        represent = {"_z": reading.codes, "": reading.features}
        if numbers:
            train, test = (known[part][:, numbers] for part in ("train", "test"))
            for of, x in represent.items():
                scores[f"r2{of}"] = dict(zip(numbers, map(float, linear_r2(x("train"), train, x("test"), test))))
            scores["mcc"] = dict(zip(numbers, matched_correlations(reading.codes("test"), test)))
        for i in (i for i in varying if is_of("accuracy", columns[i])):
            for of, x in represent.items():
                labelled = [(x(part), known[part][:, i].long()) for part in SPLITS]
                scores[f"accuracy{of}"][i] = self.probe.test(*labelled, self.probe.choose(*labelled[:2])[0])
        if varying:
            z = {part: reading.codes(part).double().cpu().numpy() for part in SPLITS}
            targets = {part: [target(known[part][:, i], columns[i]) for i in varying] for part in SPLITS}
            scores |= dci(z, targets)._asdict()
        return scores


def is_of(measure: str, factor: Factor) -> bool:
    """Whether a measure is of such factors: numbers or categories."""
    return (factor.classes is not None) == (measure in OF_CLASSES)


def groups_of(columns: Iterable[Factor]) -> list[str]:
    """The groups of factors, in their order."""
    return list(dict.fromkeys(factor.group for factor in columns if factor.group is not None))


def target(values: Tensor, factor: Factor) -> np.ndarray:
    """A number, [N, 1], or the indicators of the classes, [N, classes]; float64."""
    values = values[:, None] if factor.classes is None else values[:, None] == torch.arange(factor.classes).to(values)
    return values.double().cpu().numpy()


def fault_of(known: dict[str, Tensor], i: int, factor: Factor) -> Missing | None:
    """Why column `i` of the factors by split, [N, F], cannot be predicted: it does not vary."""
    if factor.classes is not None:
        fault = too_few_classes({part: known[part][:, i].long() for part in SPLITS}, "test")
        return fault and Missing(f"factor {factor.name}: {fault.reason}")
    for part in ("train", "test"):
        if (known[part][:, i] == known[part][:1, i]).all():
            return Missing(f"factor {factor.name} is constant on {part}")
    return None


def linear_r2(x: Tensor, factors: Tensor, x_test: Tensor, factors_test: Tensor) -> np.ndarray:
    """R^2 on test of each of the factors [N, F] by ridge regression from standardised x [N, D]; 0 predicts the mean."""
    from sklearn.metrics import r2_score  # slow to import, and needed only here

    x, factors, x_test, factors_test = (t.double().cpu().numpy() for t in (x, factors, x_test, factors_test))
    fit = ridge(ALPHAS).fit(x, factors)
    return r2_score(factors_test, fit.predict(x_test).reshape(factors_test.shape), multioutput="raw_values")


def ridge(alphas: np.ndarray) -> "Pipeline":
    """Ridge regression from standardised columns, the penalty of each target chosen by leave-one-out."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(alphas, alpha_per_target=True))


def matched_correlations(z: Tensor, factors: Tensor) -> list[float]:
    """The absolute correlation of each factor with its latent under the best assignment, one latent per factor.

    Their mean is MCC. z: [N, D], factors: [N, F]; a factor without a latent (D < F) counts 0. Source: Hyvarinen &
    Morioka 2016."""
    from scipy.optimize import linear_sum_assignment

    both = torch.cat([z, factors.to(z)], 1).double()
    both = both - both.mean(0)
    norms = both.norm(dim=0)
    both = torch.where(norms > 0, both / norms.clamp_min(torch.finfo(both.dtype).tiny), 0.0)
    correlation = (both[:, : z.shape[1]].T @ both[:, z.shape[1] :]).abs().cpu().numpy()  # [D, F]
    latents, matched = linear_sum_assignment(correlation, maximize=True)
    found = np.zeros(factors.shape[1])
    found[matched] = correlation[latents, matched]
    return found.tolist()
