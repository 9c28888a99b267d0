"""Scores: what an estimator may ask about log f(z, z') over a batch of pairs.

An estimator never sees a matrix. It asks for the positives, [B], and for log-partitions, [B] or scalar, and averages
with `mean`. So it works with all kinds of scores: dense, tiled, gathered from several processes, against fresh
candidates, or of a finite alphabet (verify/). All are in nats, in float32 or better, by logsumexp.
"""

from ssvae_cli.scores.dense import DenseScores
from ssvae_cli.scores.fresh import FreshScores
from ssvae_cli.scores.gathered import GatheredScores
from ssvae_cli.scores.in_batch import in_batch_scores
from ssvae_cli.scores.protocol import Past, Scores
from ssvae_cli.scores.tiled import TiledScores

__all__ = ["DenseScores", "FreshScores", "GatheredScores", "Past", "Scores", "TiledScores", "in_batch_scores"]
