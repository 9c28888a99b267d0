"""k-nearest-neighbour accuracy by cosine similarity, votes weighted as in Wu et al. 2018."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.evaluation.reading import CHUNK, Reading
from ssvae_cli.tracking.missing import Missing

KEYS = ("probe/knn/test", "probe/knn_z/test")


@dataclass(frozen=True, kw_only=True)
class KNN:
    """`probe/knn`: accuracy of a vote of the k nearest training features; `probe/knn_z`, on test, of the nearest z.
    None where there are no labels."""

    k: int
    temperature: float  # of the votes, exp(cos / temperature)

    def __post_init__(self):
        require_at_least(1, k=self.k)
        require_above(0, temperature=self.temperature)

    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        asked = {f"probe/knn/{split}": reading.features}
        if split == "test":
            asked["probe/knn_z/test"] = reading.codes
        if not reading.has_labels():
            return dict.fromkeys(asked)
        if fault := reading.too_few_classes(split, fitted=("train",)):
            return dict.fromkeys(asked, fault)
        rows = lambda read: (f(part) for part in ("train", split) for f in (read, reading.labels))
        return {name: self.accuracy(*rows(read)) for name, read in asked.items()}

    def accuracy(self, x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> float:
        """Share of x_test, [M, F], whose neighbours in x, [N, F], vote for its label; labels below 0 are left out."""
        x, y = F.normalize(x[y >= 0]), y[y >= 0]
        x_test, y_test = x_test[y_test >= 0], y_test[y_test >= 0]
        correct = 0
        for chunk, labels in zip(F.normalize(x_test).split(CHUNK), y_test.split(CHUNK)):
            similarity, neighbours = (chunk @ x.T).topk(min(self.k, len(x)), dim=1)
            votes = x.new_zeros(len(chunk), int(y.max()) + 1)
            votes.scatter_add_(1, y[neighbours], (similarity / self.temperature).softmax(1))
            correct += votes.argmax(1).eq(labels).sum().item()
        return correct / len(x_test)
