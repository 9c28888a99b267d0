"""What .npz files ask for, by their headers, as {group: choice}; read before torch is loaded."""

from ssvae_cli.datasets.io.npz_headers import ranks


def of_arrays(path: str) -> dict[str, str]:
    """An encoder and pairs of vectors, where x are vectors."""
    axes = ranks(path)
    return {"encoder": "mlp", "pairs": "noise"} if axes.get("x", axes.get("x_train")) == 2 else {}


def of_two_sides(path: str) -> dict[str, str]:
    """The kind of encoder of each side."""
    axes = ranks(path)
    kinds = [{2: "mlp"}.get(axes.get(name, axes.get(f"{name}_train")), "convnet") for name in ("x", "x2")]
    g_prime = {} if kinds[0] == kinds[1] else {"encoder@encoder_prime": kinds[1]}
    return {"encoder": kinds[0]} | g_prime if "mlp" in kinds else {}


def of_sequences(path: str) -> dict[str, str]:
    """Of videos, a convolutional network for x', one frame."""
    axes = ranks(path)
    return {"encoder@encoder_prime": "convnet"} if axes.get("x", axes.get("x_train")) == 5 else {}
