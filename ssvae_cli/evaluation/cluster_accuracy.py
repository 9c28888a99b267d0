"""How well the prior's clusters match the labels."""

import torch
from torch import Tensor

from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.tracking.missing import Missing

KEYS = ("clusters/accuracy/test", "clusters/used/test")


class ClusterAccuracy:
    """`clusters/accuracy`: the share of a split whose label is that of its cluster, under the best one-to-one match of
    clusters and labels on that split (Hungarian); `clusters/used`: how many clusters have a member. Labels choose the
    match alone. None where the prior has no clusters, or the data no labels."""

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        keys = f"clusters/accuracy/{split}", f"clusters/used/{split}"
        found = reading.objective.prior.clusters(reading.codes(split))
        if found is None:
            return dict.fromkeys(keys)
        accuracy = None
        if reading.has_labels():
            accuracy = reading.too_few_classes(split, fitted=()) or matched_accuracy(found, reading.labels(split))
        return dict(zip(keys, (accuracy, float(len(found.unique())))))


def matched_accuracy(found: Tensor, labels: Tensor) -> float:
    """Clusters and labels, int64 [N] each, labels below 0 left out -> the largest share of one-to-one matches."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and needed only here

    found, labels = found[labels >= 0], labels[labels >= 0]
    counts = torch.zeros(int(found.max()) + 1, int(labels.max()) + 1, dtype=torch.int64, device=found.device)
    counts.index_put_((found, labels), torch.ones_like(found), accumulate=True)
    rows, columns = linear_sum_assignment(counts.cpu().numpy(), maximize=True)
    return counts.cpu()[rows, columns].sum().item() / len(labels)
