"""Retrieval among test pairs: does an x find its own x' by the score of a pair, and x' its x?"""

from dataclasses import dataclass

from torch import Tensor

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import too_few_pairs
from ssvae_cli.evaluation.pair_scores import table
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.tracking.missing import Missing

WITHIN = (1, 5, 10)
KEYS = tuple(f"retrieval/recall_{k}{way}/test" for way in ("", "_reverse") for k in WITHIN)


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """`retrieval/recall_1`, `_5` and `_10`: the share of test x whose own x' is among the k of highest score, and
    `_reverse` of x' whose own x is; None unless the data are pairs. Equal scores count against it."""

    candidates: int  # test pairs, at most

    def __post_init__(self):
        require_at_least(2, candidates=self.candidates)

    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        if split != "test":
            return {}
        if reading.data.shape_prime is None:
            return dict.fromkeys(KEYS)
        if fault := too_few_pairs({"test": len(reading.data.test)}):
            return dict.fromkeys(KEYS, fault)
        scores = table(reading, "test", self.candidates)
        if scores is None or isinstance(scores, Missing):
            return dict.fromkeys(KEYS, scores)
        return dict(zip(KEYS, [recall(way, k) for way in (scores, scores.T) for k in WITHIN]))


def recall(scores: Tensor, k: int) -> float:
    """The share of rows whose entry on the diagonal is among the k largest, [n, n]."""
    return (scores >= scores.diagonal()[:, None]).sum(1).le(k).double().mean().item()
