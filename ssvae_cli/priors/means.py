"""Predictions of the next latent from those before it: the choices of prior/mean=..."""

from torch import Tensor, nn

from ssvae_cli.errors import require_at_least
from ssvae_cli.layers import mlp, require_widths


class Linear(nn.Linear):
    """A z + b of the last latent; initially A = persistence * I. inputs: D; outputs: D, or 2 D with its noise."""

    def __init__(self, *, inputs: int, outputs: int, persistence: float):
        super().__init__(inputs, outputs)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.weight.data.diagonal().fill_(persistence)

    def forward(self, before: Tensor) -> Tensor:
        """[B, T, D] -> [B, outputs]."""
        return super().forward(before[:, -1])


class MLP(nn.Module):
    """A network of the last latent."""

    def __init__(self, *, inputs: int, outputs: int, hidden: list[int]):
        super().__init__()
        require_widths("hidden", hidden)
        self.network = mlp([inputs, *hidden, outputs])

    def forward(self, before: Tensor) -> Tensor:
        """[B, T, D] -> [B, outputs]."""
        return self.network(before[:, -1])


class GRU(nn.Module):
    """Gated recurrent units over all latents so far, and a linear map of their last state."""

    def __init__(self, *, inputs: int, outputs: int, width: int):
        super().__init__()
        require_at_least(1, width=width)
        self.gru, self.out = nn.GRU(inputs, width, batch_first=True), nn.Linear(width, outputs)

    def forward(self, before: Tensor) -> Tensor:
        """[B, T, D] -> [B, outputs]."""
        return self.out(self.gru(before)[0][:, -1])
