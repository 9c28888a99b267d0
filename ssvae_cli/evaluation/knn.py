"""k-nearest-neighbour accuracy by cosine similarity, votes weighted as in Wu et al. 2018."""

from torch import Tensor
from torch.nn import functional as F

CHUNK = 512


def knn_accuracy(
    x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, *, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of `x_test` [M, F] whose k neighbours in `x` [N, F] vote for its label; votes exp(cos / temperature).

    Rows labelled below 0 are left out.
    """
    x, y = F.normalize(x[y >= 0]), y[y >= 0]
    x_test, y_test = x_test[y_test >= 0], y_test[y_test >= 0]
    right = 0
    for chunk, labels in zip(F.normalize(x_test).split(CHUNK), y_test.split(CHUNK)):
        similarity, neighbours = (chunk @ x.T).topk(min(k, len(x)), dim=1)
        votes = x.new_zeros(len(chunk), int(y.max()) + 1)
        votes.scatter_add_(1, y[neighbours], (similarity / temperature).softmax(1))
        right += votes.argmax(1).eq(labels).sum().item()
    return right / len(x_test)
