"""Scores: what an estimator may ask about log f(z, z') over a batch of pairs.

An estimator never sees a matrix. It asks for the positives, [B], and for log-partitions, [B] or scalar, and averages
with `mean`. Dense and tiled in-batch scores, scores gathered from several processes, fresh candidates for evaluation
and the enumerated table of a finite alphabet answer the same questions, so every estimator works with each of them.
Everything is in nats, in float32 or better, and by logsumexp.
"""

from ssvae_cli.scores.dense import DenseScores
from ssvae_cli.scores.fresh import FreshScores
from ssvae_cli.scores.protocol import Scores

__all__ = ["DenseScores", "FreshScores", "Scores"]
