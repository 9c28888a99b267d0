"""Autoregressive mixtures of normals that start as a normal density."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.evaluation.samples import Pairs

SHRINKAGES = (0.0, 0.02, 0.1, 0.3, 0.7)  # of a covariance towards its diagonal
NEGLIGIBLE = -80.0  # log share of a component; exp is slow on a CPU where its result is below the normal numbers
NETWORK = torch.float32  # of the network's numbers, in a run of float64 too: what is whitened in float64 fits in it
RIDGE = 1e-9  # of the variances: keeps the Cholesky factor of a singular covariance finite


class Autoregressive(nn.Module):
    """log p(y | c): whitened by a normal density, then autoregressive, every coordinate a mixture of normals.

    u = (L^-1 [c, y])_y, L the Cholesky factor of the covariance of [c, y]: for normal data the u_k are independent
    standard normals for every c. p(u_k | u_<k, c) is a mixture with parameters from one masked network, near N(0, 1)
    before training. c: [B, dc], dc = 0 for an unconditional density. shrinkage: of the covariance towards its diagonal.
    Sources: Bishop 1994; Germain et al. 2015.
    """

    def __init__(self, context: Tensor, y: Tensor, *, hidden: int, components: int, shrinkage: float):
        super().__init__()
        self.context_dim, dim = context.shape[1], y.shape[1]
        mean, covariance = moments(context, y)
        self.register_buffer("mean", mean)
        self.register_buffer("lower", shrunk_factor(covariance, shrinkage))  # float64: thin directions
        # MADE: output k depends on the context and the coordinates before k, a unit of degree k on those up to k.
        inputs = torch.cat([torch.zeros(self.context_dim), torch.arange(1, dim + 1)])
        units = torch.arange(hidden) % dim if dim > 1 else torch.zeros(hidden)
        outputs = torch.arange(dim).repeat(3 * components)
        layers = (Masked(inputs, units), nn.ReLU(), Masked(units, units), nn.ReLU(), Masked(units, outputs))
        self.layers = nn.Sequential(*layers)
        self.components = components
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)
        offsets = torch.linspace(-0.2, 0.2, components, dtype=NETWORK)  # equal components would stay equal
        self.register_buffer("offsets", offsets)
        self.to(y.device)

    def stages(self) -> list[list[nn.Parameter]]:
        """What is trained first and next: the shape of every u_k, then how it depends on the others."""
        return [[self.layers[-1].bias], list(self.parameters())]

    def prepared(self, context: Tensor, y: Tensor) -> Tensor:
        """L^-1 [c, y], [B, dc + dy]: what `log_density` takes, and training computes once."""
        centred = torch.cat([context, y], 1).double() - self.mean
        return torch.linalg.solve_triangular(self.lower, centred.T, upper=False).T.to(self.offsets)

    def log_density(self, u: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        only_shape = not self.layers[0].weight.requires_grad and self.layers[-1].bias.requires_grad
        parameters = self.layers[-1].bias.expand(len(u), -1) if only_shape else self.layers(u)
        parameters = parameters.view(len(u), 3, self.components, -1)
        log_density = MixtureOfNormals.apply(parameters, u[:, None, self.context_dim :] - self.offsets[:, None])
        return log_density - self.lower.diagonal()[self.context_dim :].log().sum().to(log_density)

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        return self.log_density(self.prepared(context, y))


def best_start(train: Pairs, validation: Pairs, sizes: dict[str, int]) -> Autoregressive:
    """The untrained density, about a normal one, with the shrinkage of the covariance that validation likes best."""
    mean, covariance = moments(*train)
    centred, dim = (torch.cat(validation, 1).double() - mean).T, train.x.shape[1]

    def log_normal(shrinkage: float) -> float:
        """Of y given c, up to a constant, the mean over validation."""
        lower = shrunk_factor(covariance, shrinkage)
        white = torch.linalg.solve_triangular(lower, centred, upper=False)[dim:]
        return (-0.5 * white.square().sum(0).mean() - lower.diagonal()[dim:].log().sum()).nan_to_num(-math.inf).item()

    return Autoregressive(*train, **sizes, shrinkage=max(SHRINKAGES, key=log_normal))


def moments(context: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the covariance of [c, y], in float64."""
    both = torch.cat([context, y], 1).double()
    return both.mean(0), torch.cov(both.T).reshape(both.shape[1], -1)


def shrunk_factor(covariance: Tensor, shrinkage: float) -> Tensor:
    """The Cholesky factor of a covariance shrunk towards its diagonal."""
    diagonal = covariance.diagonal().clamp_min(torch.finfo(covariance.dtype).tiny).diag()
    return torch.linalg.cholesky((1 - shrinkage) * covariance + (shrinkage + RIDGE) * diagonal)


class MixtureOfNormals(torch.autograd.Function):
    """sum_d log sum_k w_k N(u_d; m_k, s_k^2), [B], its gradient written out, as the fits spend their time here.

    parameters: log w up to a constant, m and the logarithm of s before its limits, [B, 3, K, D]; u: [B, K, D], each
    component's own origin subtracted."""

    @staticmethod
    def forward(ctx, parameters: Tensor, u: Tensor) -> Tensor:
        weight, mean, log_scale = parameters.unbind(1)
        limited = torch.tanh(log_scale / 4)  # scales between e^-4 and e^4
        precision = (-4 * limited).exp_()  # the root of it
        standardised = (u - mean).mul_(precision)
        square = standardised.square()
        log_p = weight.sub(4 * limited).sub_(square, alpha=0.5)
        (shares, log_sum), (prior_shares, log_weights) = softmax_and_sum(log_p), softmax_and_sum(weight)
        if ctx.needs_input_grad[0]:
            of_mean = standardised.mul_(precision).mul_(shares)
            of_scale = square.sub_(1).mul_(shares).mul_(1 - limited.square())
            ctx.save_for_backward(torch.stack([shares - prior_shares, of_mean, of_scale], 1))
        return (log_sum - log_weights).sum(1) - 0.5 * math.log(2 * math.pi) * u.shape[2]

    @staticmethod
    def backward(ctx, of_result: Tensor) -> tuple[Tensor, None]:
        return ctx.saved_tensors[0] * of_result[:, None, None, None], None


def softmax_and_sum(logits: Tensor) -> tuple[Tensor, Tensor]:
    """softmax and logsumexp over the components, [B, K, D] -> [B, K, D], [B, D]."""
    largest = logits.amax(1, keepdim=True)
    shares = (logits - largest).clamp_min_(NEGLIGIBLE).exp_()
    total = shares.sum(1, keepdim=True)
    return shares.div_(total), total.log_().add_(largest).squeeze(1)


class Masked(nn.Linear):
    """A linear layer in which an output of degree k depends on inputs of degree at most k; inputs, outputs: degrees."""

    def __init__(self, inputs: Tensor, outputs: Tensor):
        super().__init__(len(inputs), len(outputs), dtype=NETWORK)
        self.register_buffer("mask", (outputs[:, None] >= inputs).to(NETWORK))

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)
