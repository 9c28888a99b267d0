"""scikit-learn's handwritten digits: 1797 real 8x8 images, nothing to download."""

import torch
from sklearn.datasets import load_digits

from ssvae_cli.datasets.base import Data, Split, limited

TEST, VALIDATION = 397, 200  # the last images of the file, by other writers than the first


def digits(*, limit: int | None = None) -> Data:
    """1200 images for training, or `limit` of them, 200 for validation, and the last 397, by other writers, for test.

    The file's grey levels 0..16 become 0..255.
    """
    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images).mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    y = torch.from_numpy(labels).long()
    ends = (len(x) - TEST - VALIDATION, len(x) - TEST, len(x))
    train, validation, test = (Split(x[a:b], y[a:b]) for a, b in zip((0, *ends), ends))
    return Data(limited(train, limit), validation, test, tuple("0123456789"))
