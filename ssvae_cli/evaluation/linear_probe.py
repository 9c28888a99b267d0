"""The linear probe: a logistic regression to convergence, its penalty chosen on validation."""

import logging
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, class_name, evenly_spaced
from ssvae_cli.errors import agreeing, require, require_above, require_at_least
from ssvae_cli.evaluation.reading import SPLITS, Reading
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
IN_CACHE, ON_DEVICE = 1 << 19, 1 << 28  # numbers in the features that are read at a time, on a processor and elsewhere
EXACT = 1 << 18  # numbers in the features up to which float64 is used: they fit in a cache
# Of the cross-entropy, as it is assumed along each axis; it affects the speed and not the result. Chosen by the number
# of steps on features of MNIST and digits: more where rows are many, as classes are then not separable.
CURVATURE, OF_MANY_ROWS, MANY_ROWS = 0.1, 0.8, 16  # the last: rows for each feature; fewer are turned to the axes once
HISTORY = 50  # of L-BFGS
MOST_NAMED = 5  # classes in a line of the log
KEYS = ("probe/linear/test", *(f"probe/linear{of}" for of in ("_z/test", "_z/random_init", "/random_init", "/pixels")))
LARGEST_RAW = 8192  # numbers in one x up to which x itself is a baseline
Labelled = tuple[Tensor, Tensor]  # features [N, F] and labels [N]; rows labelled below 0 are left out


class Fit(NamedTuple):
    """A penalty and the fitted weights, [F + 1, classes] on the raw features, the bias in the last row."""

    penalty: float
    weights: Tensor


class LinearProbe:
    """`probe/linear`: multinomial logistic regression on standardised features, an L2 penalty on the weights.

    None where there are no labels. On test z is probed too, `probe/linear_z`; and the untrained encoder, `random_init`,
    and x itself, `probe/linear/pixels`. penalties: of mean cross-entropy + penalty / 2 |W|^2; the best on validation is
    used, and for test the fit is repeated on train and validation together. max_iterations: of L-BFGS. tolerance: a fit
    ends when no entry of the gradient is larger. compared: rows of train on which penalties are compared, at most.
    """

    def __init__(self, *, penalties: list[float], max_iterations: int, tolerance: float, compared: int):
        require(len(penalties) > 0 and min(penalties) > 0, f"penalties must all be above 0, got {penalties}")
        require_at_least(1, max_iterations=max_iterations, compared=compared)
        require_above(0, tolerance=tolerance)
        self.penalties, self.max_iterations, self.tolerance = penalties, max_iterations, tolerance
        self.compared = compared

    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        probed = {f"probe/linear/{split}": reading.features}
        if split == "test":
            probed["probe/linear_z/test"] = reading.codes
        if split == "test" and reading.untrained is not None:
            probed["probe/linear_z/random_init"] = reading.untrained.codes
            probed["probe/linear/random_init"] = reading.untrained.features
            probed["probe/linear/pixels"] = reading.raw if math.prod(reading.shape) <= LARGEST_RAW else None
        values = dict.fromkeys(probed)
        if not reading.has_labels():
            return values
        if fault := reading.too_few_classes(split):
            return dict.fromkeys(values, fault)
        log_uncommon_classes(reading.data, split)
        parts = SPLITS if split == "test" else SPLITS[:2]
        for name, read in probed.items():
            if read is not None:
                rows = [(read(part), reading.labels(part)) for part in parts]
                chosen, correct = reading.once((self, read), lambda rows=rows: self.choose(*rows[:2]))
                values[name] = self.test(*rows, chosen) if split == "test" else correct
        return values

    def choose(self, train: Labelled, validation: Labelled) -> tuple[Fit, float]:
        """(the fit whose penalty is best on validation, its accuracy there).

        The fits use at most `compared` rows of train, evenly spaced, and penalties multiplied by the ratio of all rows
        to these: |W|^2 then has the same weight relative to the cross-entropy of one row as in a fit to all.
        """
        x, y = (side[train[1] >= 0] for side in train)
        classes = int(max(train[1].max(), validation[1].max())) + 1
        subset = evenly_spaced(len(x), self.compared, x.device)
        ratio = len(x) / len(subset)
        fits = self.fit(x[subset], y[subset], classes, [penalty * ratio for penalty in self.penalties])
        scores = [accuracy(fit.weights, *validation) for fit in fits]
        best = fits[scores.index(max(scores))]
        return Fit(best.penalty / ratio, best.weights), max(scores)

    def test(self, train: Labelled, validation: Labelled, test: Labelled, chosen: Fit) -> float:
        """Accuracy on test of a fit to train and validation together, with the chosen penalty."""
        together = tuple(torch.cat(side) for side in zip(train, validation))
        return accuracy(self.refit(together, chosen).weights, *test)

    def refit(self, rows: Labelled, chosen: Fit) -> Fit:
        """A fit to all of some rows, with the chosen penalty and for its classes."""
        (fit,) = self.fit(*rows, chosen.weights.shape[1], [chosen.penalty], start=chosen.weights)
        return fit

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor, classes: int, penalties: list[float], start: Tensor | None = None) -> list[Fit]:
        """A fit for each penalty, in descending order. start: initial weights, [F + 1, classes]; None: 0."""
        import scipy.optimize  # noqa: F401  before its threads are limited: only libraries that are loaded can be
        from threadpoolctl import threadpool_limits

        if (y < 0).any():
            x, y = x[y >= 0], y[y >= 0]
        x = x.double() if x.numel() <= EXACT else x
        mean = x.mean(0)
        x = x - mean
        # Along the principal axes the curvature is approximately known.
        covariance = (x.T @ x / len(x)).double()
        mean, std = mean.double(), covariance.diagonal().sqrt()
        least = torch.maximum(1e-6 * std.max(), 10 * torch.finfo(x.dtype).eps * mean.abs())
        std = torch.where(std > least, std, torch.ones_like(std))  # dead units stay zero
        x.div_(std)
        variance, axes = torch.linalg.eigh(covariance / std / std[:, None])
        curvature, turned = OF_MANY_ROWS, len(x) < MANY_ROWS * x.shape[1]
        if turned:  # once, which is faster than to turn the weights at each step
            spanned = variance >= torch.finfo(x.dtype).eps * variance[-1]  # all, where x is constant
            variance, axes, curvature = variance[spanned], axes[:, spanned], CURVATURE
            x = x @ axes.to(x)
        w, b = variance.new_zeros(classes, len(std)), variance.new_zeros(classes)
        if start is not None:
            raw, b = start[:-1].to(variance), start[-1].to(variance) + mean @ start[:-1].to(variance)
            w = (raw * std[:, None]).T
        fits = []
        with threadpool_limits(1, user_api="blas"):  # SciPy's would take the cores from torch's, and wait
            for penalty in sorted(penalties, reverse=True):  # each starts at the last: weak ones need many steps
                scale = (curvature * variance.clamp_min(0) + penalty).rsqrt()
                w, b = self._minimise(x, y, penalty, axes, turned, scale, w, b)
                raw = w.T / std[:, None]
                fits.append(Fit(penalty, torch.cat([raw, (b - mean @ raw)[None]]).to(x)))
        return fits

    def _minimise(
        self,
        x: Tensor,
        y: Tensor,
        penalty: float,
        axes: Tensor,
        turned: bool,
        scale: Tensor,
        w: Tensor,
        b: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """(w, [classes, F], and b, [classes]) by L-BFGS on w along the axes over scale; gradient written out.

        axes: [F, F']; turned: whether x's columns are along them, and not the features."""
        from scipy.optimize import minimize  # slow to import, and needed only here

        size = max(1, (IN_CACHE if x.device.type == "cpu" else ON_DEVICE) // x.shape[1])
        parts = list(zip(x.split(size), y.split(size)))
        largest = math.inf  # entry of the gradient by w and b, at the last point

        def unpack(point: np.ndarray) -> tuple[Tensor, Tensor]:
            """(the weights along the axes, b)."""
            v, bias = torch.from_numpy(point).to(x.device).split([len(b) * len(scale), len(b)])
            return scale * v.view(len(b), -1), bias

        def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal largest
            along, b = unpack(point)
            w = along if turned else along @ axes.T
            value, of_w, of_b = penalty / 2 * (w**2).sum(), penalty * w, torch.zeros_like(b)
            bias, weights = b.to(x)[:, None], w.to(x)
            for part, labels in parts:
                # [classes, rows], as softmax is fast over the first dimension
                log_p = torch.addmm(bias, weights, part.T).log_softmax(0)
                value -= log_p.gather(0, labels[None]).sum(dtype=torch.float64) / len(y)
                error = log_p.exp_().scatter_add_(0, labels[None], -torch.ones_like(log_p[:1]))
                of_w += (error @ part).double() / len(y)
                of_b += error.sum(1, dtype=torch.float64) / len(y)
            of_along, of_features = (of_w, of_w @ axes.T) if turned else (of_w @ axes, of_w)
            largest = max(of_features.abs().max().item(), of_b.abs().max().item())
            return value.item(), torch.cat([(scale * of_along).flatten(), of_b]).cpu().numpy()

        def end_when_small(point: np.ndarray) -> None:
            if largest <= self.tolerance:  # of the gradient by w; scipy's own criterion is by what it minimises over
                raise StopIteration

        start = torch.cat([(w @ axes / scale).flatten(), b]).cpu().numpy()
        options = {"maxiter": self.max_iterations, "maxfun": 2 * self.max_iterations + 20, "maxcor": HISTORY}
        options |= {"gtol": 0, "ftol": 0}
        found = minimize(loss, start, method="L-BFGS-B", jac=True, options=options, callback=end_when_small)
        loss(found.x)  # at its end, for the largest entry of the gradient
        if largest > 10 * self.tolerance:
            log.warning("the linear probe did not converge: gradient %.1e, tolerance %.1e", largest, self.tolerance)
        along, b = unpack(found.x)
        return along @ axes.T, b


def log_uncommon_classes(data: Data, split: str) -> None:
    """Log the classes that only one of train and `split` has, and what that makes of an accuracy."""
    fitted, asked = (set(data.splits[part].y.unique().tolist()) - {-1} for part in ("train", split))
    meant = f"accuracy on {split} says nothing of it", f"each of its samples in {split} counts as an error"
    for part, absent, said in ((split, fitted - asked, meant[0]), ("train", asked - fitted, meant[1])):
        if absent:
            names = ", ".join(class_name(label, data.classes) for label in sorted(absent)[:MOST_NAMED])
            more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
            which = f"{agreeing(len(absent), 'class', 'classes')} {names}{more}"
            log.info("%s has no label of the %s: %s", part, which, said)


def accuracy(weights: Tensor, x: Tensor, y: Tensor) -> float:
    """The share of rows with labels of at least 0 that `weights`, [F + 1, classes], classify correctly."""
    x, y = x[y >= 0].to(weights.dtype), y[y >= 0]
    return (x @ weights[:-1] + weights[-1]).argmax(1).eq(y).double().mean().item()
