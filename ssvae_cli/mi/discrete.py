"""Sides with few values: I = H(y) - H(y | x), by counts where combinations recur, else by calibrated classifiers."""

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.mi.columns import PAIRS_PER_CLASS
from ssvae_cli.mi.problem import Method, Problem, Reading

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MOST_CLASSES = 256  # of a side; more take the classifiers minutes
FEW = 12  # classes up to which trees are grown, one for each class and round
SETTLES = 0.7  # the share of one doubling's gain that the next one brings
SLACK = 0.01  # of every class probability is its frequency, so that no log is far below


def entropy(counts: Tensor) -> float:
    """H of a multinomial, from its counts, [K], by the jackknife, whose bias is of order 1 / N^2.

    Source: Zahl 1977; Paninski 2003."""
    counts = counts[counts > 0].double()
    total = counts.sum()
    all_terms = torch.xlogy(counts, counts)
    plug_in = total.log() - all_terms.sum() / total
    without = (total - 1).log() - (all_terms.sum() - all_terms + torch.xlogy(counts - 1, counts - 1)) / (total - 1)
    return (total * plug_in - (total - 1) * (counts / total * without).sum()).item()


def upper_bound(problem: Problem, errors: float = 0.0) -> float:
    """What I cannot exceed: the smaller entropy of the sides with few values, so many standard errors above its
    estimate, and the log of their number, nats; infinite if neither has."""
    ends = [math.inf]
    for side in (side for side in problem.classes if side is not None):
        _, codes, counts = side.unique(return_inverse=True, return_counts=True)
        error = problem.mean(counts.double().log()[codes]).error
        ends.append(min(entropy(counts) + errors * error, math.log(len(counts))))
    return min(ends)


class Counts(Method):
    """H(x) + H(y) - H(x, y) by counts, where both sides have few values.

    Relation to I: equal, up to a bias of order 1 / N^2 that the jackknife leaves where most combinations occur often.
    Standard error: of the mean log ratio over pairs, half of what the jackknife corrected, and a nat for each pair that
    is the only one of its combination: as many of such pairs are of combinations that these do not show, and the log
    of a count of one is off by about as much.
    """

    relation = "equal"

    def refusal(self, problem):
        return None if problem.countable else "too many values to count"

    def __call__(self, problem):
        x, y = problem.classes
        joint = (x * (y.max() + 1) + y).unique(return_inverse=True)[1]  # of many values few combinations occur
        counts = [torch.bincount(values) for values in (x, y, joint)]
        left, right, both = (count[values].double() for count, values in zip(counts, (x, y, joint)))
        terms = (both * len(problem) / (left * right)).log()
        plug_in = problem.mean(terms)
        value = min(entropy(counts[0]) + entropy(counts[1]) - entropy(counts[2]), upper_bound(problem))
        alone = (1 + (both == 1).sum().item()) / len(problem)
        error = math.hypot(plug_in.error, 0.5 * (plug_in.value - value), alone)
        return Reading(Estimate(value, error), terms=terms)


class Classifier(Method):
    """H(y) - H(y | x), y a side with few values: the cross-entropy of a mixture of classifiers, cross-fitted. Of two
    such sides whose combinations are too rare to count y is that with fewer, and every value of x its own column.

    Logistic regression, normal densities of the classes, nearest neighbours, a network and, for up to 12 classes,
    boosted trees; the mixture's weights are those of the greatest held-out likelihood, so it is calibrated. most: pairs
    times classes that are read, at most. Relation to I: a lower bound, at most H(y). Standard error: of the mean log
    ratio over pairs. Source: McAllester & Stratos 2020.
    """

    relation = "lower bound"
    trained = True

    def __init__(self, *, rounds: int, most: int):
        require_at_least(1, rounds=rounds, most=most)
        self.rounds, self.most = rounds, most

    def refusal(self, problem):
        if not any(map(is_predictable, problem.classes)):
            return "no side has few values"
        return "both sides have few values: counts serve" if problem.countable else None

    def __call__(self, problem):
        number = int(features_and_classes(problem)[1].max()) + 1
        size = max(PAIRS_PER_CLASS * number, self.most // number)
        used = problem if size >= len(problem) else problem.part(size)
        features, labels = features_and_classes(used)
        terms = log_ratios(features, labels, used, self.rounds)
        growth = used.mean(terms - log_ratios(features, labels, used, self.rounds, 0.5))
        return Reading(used.mean(terms), growth=(growth,), settles=SETTLES, terms=terms if used is problem else None)


def log_ratios(features: np.ndarray, labels: np.ndarray, problem: Problem, rounds: int, share: float = 1.0) -> Tensor:
    """log p(y | x) / p(y) of every pair, [N], by classifiers fitted to a share of the other folds; y: labels, [N]."""
    number = int(labels.max()) + 1
    makers = classifiers(len(labels), number, rounds, problem.seed)
    likelihood = np.empty((1 + len(makers), len(labels)))  # of each pair's own class
    for train, fold in problem.split.folds(len(problem), problem.generator()):
        train = train[: int(share * len(train))]
        frequency = (np.bincount(labels[train], minlength=number) + 0.5) / (len(train) + 0.5 * number)
        likelihood[0, fold] = frequency[labels[fold]]
        for row, model in zip(likelihood[1:], makers):
            row[fold] = own(model, features[train], labels[train], features[fold], labels[fold], frequency)
    entropies = torch.from_numpy(np.log(len(labels) / np.bincount(labels))[labels])
    correction = (number - 1) / (2 * len(labels))  # of the plug-in H(y), Miller & Madow
    return entropies + correction + mixture(torch.from_numpy(likelihood)).log()


def is_predictable(side: Tensor | None) -> bool:
    """Whether a side has classes, [N], and no more than classifiers take."""
    return side is not None and len(side.unique()) <= MOST_CLASSES


def features_and_classes(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(Features of a side, [N, F], the classes of the other, [N], which are predicted from them)."""
    few = [side if is_predictable(side) else None for side in problem.classes]
    codes = [side if side is None else side.unique(return_inverse=True)[1] for side in few]
    side = min((0, 1), key=lambda side: math.inf if codes[side] is None else int(codes[side].max()))
    features, values = problem.pairs[1 - side], codes[1 - side]
    if values is not None:
        features = torch.cat([features, F.one_hot(values).to(features)], 1)
    return features.numpy(), codes[side].numpy()


def classifiers(count: int, classes: int, rounds: int, seed: int) -> "list[ClassifierMixin]":
    """For `count` pairs; trees only where they are fast."""
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier

    early = {"early_stopping": True, "max_iter": rounds, "random_state": seed}
    models = [
        LogisticRegression(max_iter=300),
        QuadraticDiscriminantAnalysis(reg_param=0.01),
        KNeighborsClassifier(max(5, int(math.sqrt(count) / 2))),
        MLPClassifier((64, 64), learning_rate_init=2e-3, n_iter_no_change=8, **early),
    ]
    return models + [HistGradientBoostingClassifier(max_leaf_nodes=15, **early)] * (classes <= FEW)


def own(model: "ClassifierMixin", x, labels, held_x, held_labels, frequency: np.ndarray) -> np.ndarray:
    """p(y_i | x_i) of held-out pairs, by a model fitted to others; the frequencies where it cannot be fitted."""
    known = np.zeros((len(held_x), len(frequency)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence, rare classes, collinear columns: the likelihood tells
            model.fit(x, labels)
            known[:, model.classes_] = model.predict_proba(held_x)
    except (ValueError, np.linalg.LinAlgError):  # fewer rows than it needs, or a class of one row
        known[:] = frequency
    known = np.nan_to_num(known)
    return ((1 - SLACK) * known + SLACK * frequency)[np.arange(len(held_labels)), held_labels]


def mixture(likelihood: Tensor, rounds: int = 200) -> Tensor:
    """sum_m w_m p_m of each pair, [N], of models [M, N], the weights w by expectation maximisation."""
    weights = torch.full((len(likelihood), 1), 1 / len(likelihood), dtype=likelihood.dtype)
    for _ in range(rounds):
        joint = weights * likelihood
        weights = (joint / joint.sum(0)).mean(1, keepdim=True)
    return (weights * likelihood).sum(0)
