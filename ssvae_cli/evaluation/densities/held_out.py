"""Densities of the latents of a run, read on test, and what their fits miss."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import Space
from ssvae_cli.evaluation.densities.choice import Density, DensityFit
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.samples import Pairs

Latents = tuple[Tensor, ...]  # (z, z') or (z,), [views * N, D] each: every source once, then once more, ...
Given = tuple[int, ...]  # the sides that are given, () for none
SHARES = (1.0, 0.5, 0.25)  # of the sources of train that a density is fitted to, and of the steps of its training
SETTLES = 0.6  # factor by which the gain of a doubling falls with the next one, at most, where a fit settles
SMALL = 0.1  # nats
LEAST = 16  # sources of train, from which a quarter has a density


class LogQ(NamedTuple):
    """log q of test latents; missing: E log Q - E log q, at least 0, as expected; error: its standard error."""

    terms: Tensor  # [n], nats
    missing: float = 0.0
    error: float = 0.0


class Densities:
    """log Q(z), log Q(z'), log Q(z'|z) and log Q(z|z') of test latents, each fitted when it is first asked for; of n
    latents, of each given any others.

    E log q of a density on held-out latents lies below E log Q. How far is estimated by fits to a half and to a quarter
    of the sources of train, in as large a part of the steps: the gains of two doublings are continued to infinity as a
    geometric series. Without fewer steps a fit that they limit, and not the sources, would seem to have settled. The
    fits to a part have the kinds of candidates that the fit to all used.
    """

    def __init__(
        self, fit: DensityFit, space: type[Space], train: Latents, validation: Latents, test: Latents, sources: int
    ):
        self.fit, self.space, self.train, self.validation, self.test = fit, space, train, validation, test
        order = torch.randperm(sources, generator=torch.Generator().manual_seed(0))
        views = torch.arange(len(train[0]) // sources)[:, None] * sources
        self.rows = [(views + order[: max(2, int(share * sources))]).flatten().to(train[0].device) for share in SHARES]
        self._densities: dict[tuple[int, Given, int], Density] = {}
        self._terms: dict[tuple[int, Given, int], Tensor] = {}

    def density(self, side: int, given: Given = ()) -> Density:
        """(context, y) -> log q(y | the sides given) of one side, fitted to all of train."""
        return self._fitted(side, given, 0)

    def log_q(self, side: int, given: Given = ()) -> LogQ:
        """The same of the test latents, and what it misses."""
        of_parts = [self.terms(side, given, part).mean().item() for part in range(len(self.rows))]
        return LogQ(self.terms(side, given), *missing(*of_parts))

    def terms(self, side: int, given: Given = (), part: int = 0) -> Tensor:
        """log q of the test latents, [n], by a fit to all of train or, part > 0, to fewer sources."""
        key = side, given, part
        if key not in self._terms:
            self._terms[key] = self._fitted(*key)(*pairs_of(self.test, side, given)).double()
        return self._terms[key]

    def _fitted(self, side: int, given: Given, part: int) -> Density:
        key = side, given, part
        if key not in self._densities:
            train, validation = (pairs_of(latents, side, given) for latents in (self.train, self.validation))
            whole = {"like": self._fitted(side, given, 0)} if part else {}
            fit = self.fit.shortened(SHARES[part])
            self._densities[key] = fit(train.rows(self.rows[part]), validation, self.space, **whole)
        return self._densities[key]


def pairs_of(latents: Latents, side: int, given: Given) -> Pairs:
    """(context, y): y is one side of the latents, the context the sides given or of no column."""
    y = latents[side]
    return Pairs(torch.cat([latents[other] for other in given], 1) if given else y[:, :0], y)


def missing(whole: float, half: float, quarter: float) -> tuple[float, float]:
    """What a fit to all samples misses of E log Q, and its standard error, from E log q by fits to a part of them in as
    large a part of the steps.

    The gain of a doubling falls by the factor that the last two show; that of a parametric fit is a half, the least
    here. The error is half of what is missing, and at least the last gain. Where the gains do not fall it is infinite,
    or three times a gain that is small."""
    gain, before = max(whole - half, 0.0), max(half - quarter, 0.0)
    if gain <= SETTLES * before or gain == 0:
        factor = max(gain / before, 0.5) if gain else 0.5
        expected = gain * factor / (1 - factor)
        return expected, max(gain, 0.5 * expected)
    return 2 * gain, 3 * gain if gain <= SMALL else math.inf


def estimate(known: Tensor, parts: list[tuple[int, LogQ]]) -> Estimate:
    """E [known + sum of sign * log Q], with what the fits miss; known: [n].

    Fits that miss little or much do so together, so the errors of one sign add up."""
    total = known.double() + sum(sign * log_q.terms for sign, log_q in parts)
    of_test = Estimate.of_mean(total)
    of_sign = [sum(log_q.error for sign, log_q in parts if sign == which) for which in (1, -1)]
    value = of_test.value + sum(sign * log_q.missing for sign, log_q in parts)
    return Estimate(value, math.hypot(of_test.error, *of_sign))
