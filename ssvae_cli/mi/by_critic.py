"""An estimator of training as a method: its own critic, the step chosen on validation, read on test."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ssvae_cli.critics import Critic
from ssvae_cli.estimators import ScoreEstimator
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.fresh_critics import fit_and_read
from ssvae_cli.evaluation.samples import Pairs, Parts
from ssvae_cli.mi.problem import Method, Reading


class ByCritic(Method):
    """E of an estimator on scores, all test pairs candidates of each other; its relation to I is the estimator's.

    Standard error: by a jackknife over tenths of the test pairs. width: of x and of y, as the critic takes them."""

    trained = True

    def __init__(
        self, critic: Callable[[], Critic], estimator: Callable[[], ScoreEstimator], training: Fit, width: int
    ):
        self.critic, self.estimator, self.training, self.width = critic, estimator, training, width
        self.relation = "lower bound" if estimator().bound == "lower" else "no bound"

    def ceiling(self, problem):
        return self.estimator().ceiling(len(problem.split.parts(len(problem), problem.generator())[2]))

    def __call__(self, problem):
        torch.manual_seed(problem.seed)
        generator = problem.generator()
        sides = [scores if image is None else image for image, scores in zip(problem.images, problem.pairs)]
        # Zeros do not change the output of a critic's first layer.
        pairs = Pairs(*(F.pad(side.float(), (0, self.width - side.shape[1])) for side in sides))
        parts = Parts(*map(pairs.rows, problem.split.parts(len(problem), generator)))
        estimate, curve = fit_and_read(self.critic(), self.estimator(), self.training, parts, generator)
        return Reading(estimate, curve=curve)
