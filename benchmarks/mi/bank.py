"""Tasks of known mutual information, of many kinds: what `ssvae mi` is measured on by coverage.py.

A task is a function of (rng, n) that returns x, y; its I in nats is in closed form, or by quadrature over a grid.
part: `choose` and `check` are those by which the method was chosen, the second at its end; `fresh` was run once, after.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import digamma, gammaln, logsumexp
from scipy.stats import laplace, norm, poisson
from scipy.stats import t as student_t


class Task(NamedTuple):
    """kind: what it is an example of. exact: I in nats. draw(rng, n) -> x, y."""

    kind: str
    part: str
    exact: Callable[[], float]
    draw: Callable


TASKS: dict[str, Task] = {}


def task(kind: str, part: str, exact):
    """Enter the function below under its name; exact: I, or a function that computes it."""

    def enter(draw):
        value = exact if callable(exact) else lambda: exact
        TASKS[draw.__name__] = Task(kind, part, value, draw)
        return draw

    return enter


# Mutual information by quadrature.

QUANTILES = (np.arange(4000) + 0.5) / 4000
NORMAL = norm.ppf(QUANTILES)


def entropy(density: np.ndarray, grid: np.ndarray) -> float:
    """-int p log p."""
    return -trapezoid(density * np.log(np.maximum(density, 1e-300)), grid)


def channel(log_density, inputs: np.ndarray, grid: np.ndarray) -> float:
    """I(x; y) of a density log p(y | x), x equally likely among `inputs`, y integrated over `grid`."""
    marginal, given = np.zeros(len(grid)), 0.0
    for x in inputs:
        density = np.exp(log_density(grid, x))
        marginal += density / len(inputs)
        given += entropy(density, grid) / len(inputs)
    return entropy(marginal, grid) - given


def of_counts(table: np.ndarray) -> float:
    """I of a table of joint probabilities."""
    table = table / table.sum()
    product = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    return float((table[table > 0] * np.log(table[table > 0] / product[table > 0])).sum())


def gaussian(mi: float, dim: int) -> float:
    """The correlation of each of `dim` coordinates for I = mi."""
    return np.sqrt(-np.expm1(-2 * mi / dim))


def correlated(rng, n, dim, rho):
    x, noise = rng.standard_normal((2, n, dim))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def of_rho(rho, dim=1):
    return -0.5 * dim * np.log1p(-(rho**2))


def uniform(rng, *shape):
    return rng.uniform(size=shape)


def mixing(rows, columns, seed):
    return np.random.default_rng(seed).standard_normal((rows, columns)) / np.sqrt(rows)


# Gaussian copulas, and independence.


@task("gaussian", "choose", of_rho(0.6))
def normal_1(rng, n):
    return correlated(rng, n, 1, 0.6)


@task("gaussian", "check", 1.0)
def normal_5(rng, n):
    return correlated(rng, n, 5, gaussian(1.0, 5))


@task("gaussian", "choose", 2.0)
def cubic_20(rng, n):
    x, y = correlated(rng, n, 20, gaussian(2.0, 20))
    return x**3, y**3


@task("gaussian", "check", 5.0)
def normal_3_strong(rng, n):
    x, y = correlated(rng, n, 3, gaussian(5.0, 3))
    return x @ mixing(3, 3, 1), y @ mixing(3, 3, 2)


@task("gaussian", "choose", 10.0)
def normal_20_very_strong(rng, n):
    return correlated(rng, n, 20, gaussian(10.0, 20))


@task("gaussian", "check", of_rho(0.8))
def exponential_of_normals(rng, n):
    x, y = correlated(rng, n, 1, 0.8)
    return np.exp(2 * x), norm.cdf(y)


@task("independent", "choose", 0.0)
def independent_1(rng, n):
    return rng.exponential(size=(n, 1)), rng.standard_cauchy((n, 1))


@task("independent", "check", 0.0)
def independent_5(rng, n):
    return rng.standard_normal((n, 5)), uniform(rng, n, 5)


@task("independent", "choose", 0.0)
def independent_20(rng, n):
    return rng.standard_normal((n, 20)), rng.standard_t(2, (n, 20))


@task("independent", "check", 0.0)
def independent_codes(rng, n):
    return rng.integers(10, size=(n, 1)), rng.integers(10, size=(n, 1))


# Few informative coordinates among many; low rank in high dimension.


@task("sparse", "choose", 1.0)
def two_in_100(rng, n):
    x, y = rng.standard_normal((2, n, 100))
    x[:, 3:5], y[:, 7:9] = correlated(rng, n, 2, gaussian(1.0, 2))
    return x, y


def product_mi():
    """y = a b + e / 2, a and b normal: a b has the density K_0(|v|) / pi; by the mean over b of normal densities."""
    scales = np.abs(norm.ppf((np.arange(2000) + 0.5) / 2000))
    grid = np.linspace(-14, 14, 5601)
    marginal = np.mean([norm.pdf(grid, scale=np.hypot(s, 0.5)) for s in scales], 0)
    return entropy(marginal, grid) - norm(scale=0.5).entropy()


@task("sparse", "choose", product_mi)
def product_of_two_in_10(rng, n):
    x = rng.standard_normal((n, 10))
    return x, x[:, :1] * x[:, 1:2] + 0.5 * rng.standard_normal((n, 1))


def square_mi(noise=0.5):
    return channel(lambda y, x: norm.logpdf(y, x**2, noise), NORMAL, np.linspace(-4, 22, 5201))


@task("sparse", "check", square_mi)
def square_of_one_in_30(rng, n):
    x = rng.standard_normal((n, 30))
    y = rng.standard_normal((n, 30))
    y[:, :1] = x[:, 5:6] ** 2 + 0.5 * y[:, :1]
    return x, y


@task("sparse", "check", of_rho(0.9))
def one_in_50_uniform(rng, n):
    x, y = uniform(rng, n, 50), uniform(rng, n, 3)
    a, b = correlated(rng, n, 1, 0.9)
    x[:, 20:21], y[:, 1:2] = norm.cdf(a), norm.cdf(b)
    return x, y


@task("sparse", "check", lambda: channel(lambda y, x: norm.logpdf(y, 0, np.exp(x)), NORMAL, SCALES))
def scale_of_one_in_20(rng, n):
    x = rng.standard_normal((n, 20))
    return x, np.exp(x[:, 4:5]) * rng.standard_normal((n, 1))


SCALES = np.concatenate([-np.geomspace(1e-5, 300, 4000)[::-1], np.geomspace(1e-5, 300, 4000)])


def low_rank(left, right, noise):
    """x = s A + noise, y = s B + noise, s of 3 normals."""
    a, b = mixing(3, left, 5), mixing(3, right, 6)
    both = np.hstack([a, b])
    covariance = both.T @ both + noise**2 * np.eye(left + right)
    parts = [covariance, covariance[:left, :left], covariance[left:, left:]]
    whole, x, y = (np.linalg.slogdet(c)[1] for c in parts)
    return a, b, 0.5 * (x + y - whole)


@task("low rank", "choose", lambda: low_rank(30, 30, 1.0)[2])
def low_rank_30(rng, n):
    a, b, _ = low_rank(30, 30, 1.0)
    s = rng.standard_normal((n, 3))
    return s @ a + rng.standard_normal((n, 30)), s @ b + rng.standard_normal((n, 30))


@task("low rank", "check", lambda: square_mi())
def embedded_square(rng, n):
    """(s, 0) and (s^2 + noise, 0) turned into 12 dimensions, without further noise: I is that of the two numbers."""
    s = rng.standard_normal((n, 1))
    rest = rng.standard_normal((2, n, 11))
    y = s**2 + 0.5 * rng.standard_normal((n, 1))
    turn = [np.linalg.qr(np.random.default_rng(k).standard_normal((12, 12)))[0] for k in (1, 2)]
    return np.hstack([s, rest[0]]) @ turn[0], np.hstack([y, rest[1]]) @ turn[1]


# Dependence without correlation.


@task("uncorrelated", "choose", square_mi)
def square(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x**2 + 0.5 * rng.standard_normal((n, 1))


def ring_mi(noise=0.1):
    """A ring of radius 1 with normal noise in both coordinates: h(x) + h(y) - h(x, y)."""
    angles = 2 * np.pi * (np.arange(2000) + 0.5) / 2000
    grid = np.linspace(-1.7, 1.7, 3401)
    one = np.mean([norm.pdf(grid, np.cos(a), noise) for a in angles], 0)
    radius = np.linspace(0, 1.7, 3401)[1:]
    angle = np.exp(-((radius[:, None] - np.cos(angles)) ** 2 + np.sin(angles) ** 2) / (2 * noise**2)).mean(1)
    joint = angle / (2 * np.pi * noise**2)
    both = -trapezoid(2 * np.pi * radius * joint * np.log(np.maximum(joint, 1e-300)), radius)
    return 2 * entropy(one, grid) - both


@task("uncorrelated", "choose", ring_mi)
def ring(rng, n):
    angle = rng.uniform(0, 2 * np.pi, (n, 1))
    x, y = 0.1 * rng.standard_normal((2, n, 1))
    return np.cos(angle) + x, np.sin(angle) + y


@task("uncorrelated", "check", np.log(2))
def checkerboard(rng, n):
    """Uniform on the black fields of a 4 x 4 board."""
    x = uniform(rng, n, 1)
    row = 2 * rng.integers(2, size=(n, 1)) + np.floor(4 * x) % 2
    return x, (row + uniform(rng, n, 1)) / 4


def student_mi(dim, df):
    def h(d):
        half, rest = df / 2, (df + d) / 2
        return rest * (digamma(rest) - digamma(half)) - gammaln(rest) + gammaln(half) + d / 2 * np.log(df * np.pi)

    return 2 * h(dim) - h(2 * dim)


@task("heavy tails", "choose", student_mi(1, 1))
def student_1(rng, n):
    both = rng.standard_normal((n, 2)) / np.sqrt(rng.chisquare(1, (n, 1)))
    return both[:, :1], both[:, 1:]


@task("heavy tails", "check", student_mi(3, 2))
def student_3(rng, n):
    both = rng.standard_normal((n, 6)) / np.sqrt(rng.chisquare(2, (n, 1)) / 2)
    return both[:, :3], both[:, 3:]


def mixture_mi(rho, seed=0):
    """Half rho, half -rho: the entropy of the pair by the mean over a large sample (error 0.001)."""
    rng = np.random.default_rng(seed)
    x, y = correlated(rng, 2_000_000, 1, rho)
    y *= np.where(rng.uniform(size=y.shape) < 0.5, 1, -1)
    log = [-((y - s * rho * x) ** 2) / (2 * (1 - rho**2)) - 0.5 * np.log(1 - rho**2) for s in (1, -1)]
    return float((logsumexp(log, 0) - np.log(2) + y**2 / 2).mean())


@task("uncorrelated", "choose", lambda: mixture_mi(0.9))
def cross(rng, n):
    x, y = correlated(rng, n, 1, 0.9)
    return x, y * np.where(rng.uniform(size=y.shape) < 0.5, 1, -1)


@task("uncorrelated", "check", lambda: 2 * mixture_mi(0.9))
def cross_2(rng, n):
    x, y = correlated(rng, n, 2, 0.9)
    y = y * np.where(rng.uniform(size=y.shape) < 0.5, 1, -1)
    return x @ mixing(2, 2, 4), y


# Noise: sharp, heteroscedastic, with an edge, heavy.


@task("noise", "choose", lambda: channel(lambda y, x: norm.logpdf(y, 0, np.exp(x)), NORMAL, SCALES))
def scale(rng, n):
    x = rng.standard_normal((n, 1))
    return x, np.exp(x) * rng.standard_normal((n, 1))


@task("noise", "check", lambda: 2 * channel(lambda y, x: norm.logpdf(y, x, 0.1 + np.abs(x)), NORMAL, SCALES))
def heteroscedastic_2(rng, n):
    x = rng.standard_normal((n, 2))
    return x, x + (0.1 + np.abs(x)) * rng.standard_normal((n, 2))


@task("noise", "choose", of_rho(1 / np.sqrt(1 + 1e-4)))
def sharp(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x + 0.01 * rng.standard_normal((n, 1))


@task("noise", "check", lambda: channel(lambda y, x: norm.logpdf(y, x**2, 0.02), NORMAL, np.linspace(-1, 16, 34001)))
def sharp_square(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x**2 + 0.02 * rng.standard_normal((n, 1))


@task("edge", "choose", 0.1 - np.log(0.2))
def uniform_noise(rng, n):
    x = uniform(rng, n, 1)
    return x, x + rng.uniform(-0.1, 0.1, (n, 1))


@task("edge", "check", 3 * (0.25 - np.log(0.5)))
def uniform_noise_3(rng, n):
    x = uniform(rng, n, 3)
    return x, x + rng.uniform(-0.25, 0.25, (n, 3))


@task("edge", "choose", np.log(4))
def wrapped(rng, n):
    """y = x + u modulo 1."""
    x = uniform(rng, n, 1)
    return x, (x + uniform(rng, n, 1) / 4) % 1


@task("edge", "check", 1 - np.log(2))
def triangle(rng, n):
    """Uniform on the triangle y < x < 1."""
    x = np.sqrt(uniform(rng, n, 1))
    return x, x * uniform(rng, n, 1)


@task("noise", "check", lambda: channel(lambda y, x: laplace.logpdf(y, x, 0.3), NORMAL, np.linspace(-12, 12, 12001)))
def laplace_noise(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x + rng.laplace(0, 0.3, (n, 1))


def cauchy_grid():
    half = np.geomspace(1e-4, 1e5, 6000)
    return np.concatenate([-half[::-1], half])


@task("heavy tails", "check", lambda: channel(lambda y, x: student_t.logpdf(y, 1, x, 0.2), NORMAL, cauchy_grid()))
def cauchy_noise(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x + 0.2 * rng.standard_cauchy((n, 1))


# Oscillations, spirals, many coordinates that are not Gaussian.


def wave_mi(frequency, noise):
    points = np.sin(2 * np.pi * frequency * QUANTILES)
    return channel(lambda y, x: norm.logpdf(y, x, noise), points, np.linspace(-3, 3, 3001))


@task("oscillation", "choose", lambda: wave_mi(5, 0.2))
def wave_5(rng, n):
    x = uniform(rng, n, 1)
    return x, np.sin(10 * np.pi * x) + 0.2 * rng.standard_normal((n, 1))


@task("oscillation", "check", lambda: wave_mi(10, 0.3))
def wave_10(rng, n):
    x = uniform(rng, n, 1)
    return x, np.sin(20 * np.pi * x) + 0.3 * rng.standard_normal((n, 1))


@task("oscillation", "choose", lambda: 5 * wave_mi(1, 0.5))
def waves_in_5(rng, n):
    x = uniform(rng, n, 5)
    return x, np.sin(2 * np.pi * x) + 0.5 * rng.standard_normal((n, 5))


@task("oscillation", "check", lambda: wave_mi(1, 0.3))
def wave_of_a_sum(rng, n):
    x = uniform(rng, n, 3)
    return x, np.sin(2 * np.pi * (x.sum(1, keepdims=True))) + 0.3 * rng.standard_normal((n, 1))


@task("spiral", "choose", 1.0)
def spiral_3(rng, n):
    x, y = correlated(rng, n, 3, gaussian(1.0, 3))

    def wound(v):
        plane = (v[:, 0] + 1j * v[:, 1]) * np.exp(0.3j * (v**2).sum(1))
        return np.column_stack([plane.real, plane.imag, v[:, 2:]])

    return wound(x), wound(y)


@task("spiral", "check", of_rho(0.75))
def swiss_roll(rng, n):
    x, y = correlated(rng, n, 1, 0.75)
    t = 1.5 * np.pi * (1 + 2 * norm.cdf(x))
    return np.hstack([t * np.cos(t), t * np.sin(t)]) / 21, y


@task("clusters", "choose", np.log(6))
def shared_cluster_5(rng, n):
    centres = 8 * np.random.default_rng(3).standard_normal((2, 6, 5))
    label = rng.integers(6, size=n)
    return (c[label] + rng.standard_normal((n, 5)) for c in centres)


def xor_clusters_mi(noise=0.5):
    """x = +-1 + e, y = +-1 + e, the sign of y in 9 of 10 that of x: by quadrature on the plane."""
    grid = np.linspace(-4, 4, 801)
    one = {s: norm.pdf(grid, s, noise) for s in (-1, 1)}
    joint = sum((0.45 if a == b else 0.05) * np.outer(one[a], one[b]) for a in one for b in one)
    return of_counts(joint)


@task("clusters", "check", xor_clusters_mi)
def noisy_signs(rng, n):
    x = rng.choice([-1.0, 1.0], (n, 1))
    y = np.where(uniform(rng, n, 1) < 0.1, -x, x)
    return x + 0.5 * rng.standard_normal((n, 1)), y + 0.5 * rng.standard_normal((n, 1))


def radius_mi():
    from scipy.stats import chi2

    return channel(lambda y, r: norm.logpdf(y, r, 0.5), chi2.ppf(QUANTILES, 2), np.linspace(-3, 30, 6601))


@task("uncorrelated", "check", radius_mi)
def squared_radius(rng, n):
    x = rng.standard_normal((n, 2))
    return x, (x**2).sum(1, keepdims=True) + 0.5 * rng.standard_normal((n, 1))


def direction_mi(concentration=4.0):
    grid = np.linspace(-np.pi, np.pi, 20001)
    density = np.exp(concentration * (np.cos(grid) - 1))
    density /= trapezoid(density, grid)
    return np.log(2 * np.pi) - entropy(density, grid)


@task("circle", "choose", direction_mi)
def directions(rng, n):
    """Two points of the circle in the plane with radii that are independent; angles apart by a von Mises variable."""
    a = rng.uniform(0, 2 * np.pi, n)
    b = a + rng.vonmises(0, 4.0, n)
    r, s = rng.gamma(4, size=(2, n))
    return np.column_stack([r * np.cos(a), r * np.sin(a)]), np.column_stack([s * np.cos(b), s * np.sin(b)])


# Integer codes, labels, rounded columns.


@task(
    "codes",
    "choose",
    lambda: of_counts(np.array([[poisson.pmf(i, 3) * poisson.pmf(j - i, 1) for j in range(60)] for i in range(40)])),
)
def counts(rng, n):
    x = rng.poisson(3, (n, 1))
    return x, x + rng.poisson(1, (n, 1))


@task("codes", "check", of_counts(np.array([[0.45, 0.05], [0.05, 0.45]])))
def flipped_bit(rng, n):
    x = rng.integers(2, size=(n, 1))
    return x, x ^ (uniform(rng, n, 1) < 0.1)


def cells(edges, x, rho):
    """The probability that y lies between each two edges, given x, [N, K]."""
    ends = np.r_[-np.inf, edges, np.inf]
    return np.diff(norm.cdf((ends - rho * x[:, None]) / np.sqrt(1 - rho**2)), axis=1)


def rounded_mi(rho, step):
    edges = step * (np.arange(-200, 201) + 0.5)
    edges = edges[np.abs(edges) < 6]
    points = norm.ppf((np.arange(40000) + 0.5) / 40000)
    cell = np.searchsorted(edges, points)
    given = np.diff(
        norm.cdf((np.r_[-np.inf, edges, np.inf][None] - rho * points[:, None]) / np.sqrt(1 - rho**2)), axis=1
    )
    table = np.zeros((len(edges) + 1,) * 2)
    np.add.at(table, cell, given / len(points))
    return of_counts(table)


@task("rounded", "choose", lambda: rounded_mi(0.95, 0.5))
def rounded_half(rng, n):
    x, y = correlated(rng, n, 1, 0.95)
    return np.round(2 * x) / 2, np.round(2 * y) / 2


@task("rounded", "check", lambda: rounded_mi(0.8, 0.1))
def rounded_tenth(rng, n):
    x, y = correlated(rng, n, 1, 0.8)
    return np.round(10 * x) / 10, np.round(10 * y) / 10


@task("rounded", "check", lambda: 4 * rounded_mi(0.6, 1.0))
def rounded_4(rng, n):
    x, y = correlated(rng, n, 4, 0.6)
    return np.round(x), np.round(y)


@task("codes", "choose", of_counts(0.7 * np.eye(20) + 0.3 / 20))
def categories_20(rng, n):
    x = rng.integers(20, size=(n, 1))
    codes = np.random.default_rng(9).permutation(20)
    return x, codes[np.where(uniform(rng, n, 1) < 0.3, rng.integers(20, size=(n, 1)), x)]


@task("codes", "check", of_counts(np.array([[0.95, 0.05], [0.05, 0.95]])))
def parity_of_two(rng, n):
    x = rng.integers(2, size=(n, 4))
    return x, x[:, :1] ^ x[:, 1:2] ^ (uniform(rng, n, 1) < 0.05)


@task("labels", "check", lambda: logistic_label_mi())
def logistic_label(rng, n):
    x = rng.standard_normal((n, 3))
    p = 1 / (1 + np.exp(-2 * x.sum(1, keepdims=True)))
    return x, uniform(rng, n, 1) < p


def logistic_label_mi():
    p = 1 / (1 + np.exp(-2 * np.sqrt(3) * NORMAL))
    return np.log(2) + float((p * np.log(p) + (1 - p) * np.log1p(-p)).mean())


def blobs(n_classes, dim, spread, seed, samples=400_000):
    """Centres, and I(x; label) of unit normal blobs, by the mean over a large sample."""
    centres = spread * np.random.default_rng(seed).standard_normal((n_classes, dim))
    rng = np.random.default_rng(seed + 1)
    label = rng.integers(n_classes, size=samples)
    x = centres[label] + rng.standard_normal((samples, dim))
    log = -0.5 * ((x[:, None] - centres) ** 2).sum(2)
    own = np.take_along_axis(log, label[:, None], 1)[:, 0]
    return centres, float((own - logsumexp(log, 1) + np.log(n_classes)).mean())


def blob_pairs(rng, n, *settings):
    centres = settings[2] * np.random.default_rng(settings[3]).standard_normal(settings[:2])
    label = rng.integers(settings[0], size=n)
    return centres[label] + rng.standard_normal((n, settings[1])), label


@task("labels", "choose", lambda: blobs(10, 2, 1.2, 0)[1])
def blobs_10(rng, n):
    return blob_pairs(rng, n, 10, 2, 1.2, 0)


@task("labels", "check", lambda: blobs(20, 5, 1.5, 4)[1])
def blobs_20_in_5(rng, n):
    return blob_pairs(rng, n, 20, 5, 1.5, 4)


@task("labels", "choose", lambda: blobs(2, 20, 0.3, 2)[1])
def two_classes_in_20(rng, n):
    return blob_pairs(rng, n, 2, 20, 0.3, 2)


def radial_label_mi():
    from scipy.stats import chi2

    p = 1 / (1 + np.exp(-4 * (chi2.ppf(QUANTILES, 2) - 1.4)))
    mean = p.mean()
    h = lambda q: -(q * np.log(q) + (1 - q) * np.log1p(-q))
    return float(h(mean) - h(np.clip(p, 1e-12, 1 - 1e-12)).mean())


@task("labels", "check", radial_label_mi)
def label_of_a_radius(rng, n):
    x = rng.standard_normal((n, 2))
    p = 1 / (1 + np.exp(-4 * ((x**2).sum(1) - 1.4)))
    return x, rng.uniform(size=n) < p


# Mixed columns: atoms and a continuum.


@task("mixed", "choose", np.log(5) - 4 / 5 * np.log(2))
def gao_code_and_uniform(rng, n):
    """x one of 5, y uniform in [x, x + 2] (Gao et al. 2017)."""
    x = rng.integers(5, size=(n, 1))
    return x, x + 2 * uniform(rng, n, 1)


@task("mixed", "check", lambda: zero_inflated_poisson())
def zero_inflated_poisson_of_exponential(rng, n):
    """x exponential, y = 0 in 15 of 100, else Poisson(x) (Gao et al. 2017)."""
    x = rng.exponential(size=(n, 1))
    return x, np.where(uniform(rng, n, 1) < 0.15, 0, rng.poisson(x))


def zero_inflated_poisson():
    x = -np.log1p(-(np.arange(20000) + 0.5) / 20000)
    table = 0.85 * poisson.pmf(np.arange(80), x[:, None])
    table[:, 0] += 0.15
    return of_counts(table / len(x))


def dropped_mi(keep=0.6, rho=0.9):
    """y = 0 in the share 1 - keep, at random, else normal of correlation rho: keep * I."""
    return keep * of_rho(rho)


@task("mixed", "choose", dropped_mi)
def dropped(rng, n):
    x, y = correlated(rng, n, 1, 0.9)
    return x, np.where(uniform(rng, n, 1) < 0.4, 0, y)


def clipped_mi(rho=0.8):
    """y = max(0, y'): the atom's share by its probability given x, the continuum by quadrature."""
    spread = np.sqrt(1 - rho**2)
    grid = np.linspace(0, 7, 7001)
    p = norm.cdf(-rho * NORMAL / spread)
    atoms = float((p * np.log(p / p.mean())).mean())
    rest = 0.0
    for x in NORMAL:
        density = norm.pdf(grid, rho * x, spread)
        rest += trapezoid(density * (norm.logpdf(grid, rho * x, spread) - norm.logpdf(grid)), grid) / len(NORMAL)
    return atoms + rest


@task("mixed", "check", clipped_mi)
def clipped(rng, n):
    x, y = correlated(rng, n, 1, 0.8)
    return x, np.maximum(y, 0)


@task("mixed", "choose", lambda: -(0.4 * np.log(0.4) + 0.6 * np.log(0.6)) + 0.6 * of_rho(0.7))
def both_zero_inflated(rng, n):
    """Both 0 together in 4 of 10."""
    x, y = correlated(rng, n, 1, 0.7)
    zero = uniform(rng, n, 1) < 0.4
    return np.where(zero, 0, x), np.where(zero, 0, y)


@task("mixed", "check", lambda: 3 * dropped_mi(0.7, 0.8))
def dropped_3(rng, n):
    x, y = correlated(rng, n, 3, 0.8)
    return x, np.where(uniform(rng, n, 3) < 0.3, 0, y)


@task("mixed", "check", lambda: rounded_one_side(0.9, 0.5))
def one_side_rounded(rng, n):
    x, y = correlated(rng, n, 1, 0.9)
    return x, np.round(2 * y) / 2


def rounded_one_side(rho, step):
    edges = step * (np.arange(-30, 31) + 0.5)
    given = np.diff(
        norm.cdf((np.r_[-np.inf, edges, np.inf][None] - rho * NORMAL[:, None]) / np.sqrt(1 - rho**2)), axis=1
    )
    return of_counts(given / len(NORMAL))


# Heavy tails, many coordinates without a Gaussian copula, time series.


@task("heavy tails", "choose", lambda: channel(lambda y, x: norm.logpdf(y, x, 0.5), NORMAL, np.linspace(-7, 7, 7001)))
def lognormal(rng, n):
    x = np.exp(2 * rng.standard_normal((n, 1)))
    return x, x * np.exp(rng.standard_normal((n, 1)))


@task("many", "choose", lambda: 10 * square_mi(1.0))
def squares_in_10(rng, n):
    x = rng.standard_normal((n, 10))
    return x, x**2 + rng.standard_normal((n, 10))


@task("many", "check", of_rho(0.5, 8))
def swapped_in_8(rng, n):
    """y = a normal of correlation 1/2 with x, each coordinate's sign and size passed through a steep odd map."""
    x, y = correlated(rng, n, 8, 0.5)
    return np.sinh(2 * x) @ mixing(8, 8, 11), np.cbrt(y) @ mixing(8, 8, 12)


@task(
    "many",
    "choose",
    lambda: 4 * channel(lambda y, x: norm.logpdf(y, x, 0.3), np.array([-1.0, 1.0]), np.linspace(-4, 4, 4001)),
)
def bits_behind_noise_4(rng, n):
    """Four signs, each behind normal noise in y; x is the signs with noise that never hides them, mixed."""
    s = rng.choice([-1.0, 1.0], (n, 4))
    return (s + 0.1 * rng.standard_normal((n, 4))) @ mixing(4, 4, 20), s + 0.3 * rng.standard_normal((n, 4))


def ar(rng, n, phi, noise):
    out = np.empty(n)
    out[0] = rng.standard_normal() * noise / np.sqrt(1 - phi**2)
    for i in range(1, n):
        out[i] = phi * out[i - 1] + noise * rng.standard_normal()
    return out


@task("time series", "choose", of_rho(0.7))
def two_series(rng, n):
    """Two AR(1) of unit variance, phi = 0.9, correlated by 0.7 at equal times."""
    a, b = (ar(rng, n, 0.9, np.sqrt(1 - 0.81)) for _ in range(2))
    return a, 0.7 * a + np.sqrt(0.51) * b


@task("time series", "check", 0.0)
def independent_series(rng, n):
    return tuple(ar(rng, n, 0.8, 0.6) for _ in range(2))


# Run once, when everything was chosen.


@task(
    "uncorrelated",
    "fresh",
    lambda: channel(lambda y, x: norm.logpdf(y, np.abs(x), 0.3), NORMAL, np.linspace(-3, 8, 5501)),
)
def absolute_value(rng, n):
    x = rng.standard_normal((n, 1))
    return x, np.abs(x) + 0.3 * rng.standard_normal((n, 1))


@task("oscillation", "fresh", lambda: wave_mi(3, 0.1))
def wave_3_sharp(rng, n):
    x = uniform(rng, n, 1)
    return x, np.sin(6 * np.pi * x) + 0.1 * rng.standard_normal((n, 1))


@task("sparse", "fresh", lambda: wave_mi(1, 0.3))
def wave_of_one_in_40(rng, n):
    x = uniform(rng, n, 40)
    return x, np.hstack([rng.standard_normal((n, 2)), np.sin(2 * np.pi * x[:, :1]) + 0.3 * rng.standard_normal((n, 1))])


@task("gaussian", "fresh", 3.0)
def normal_8_mixed(rng, n):
    x, y = correlated(rng, n, 8, gaussian(3.0, 8))
    return x @ mixing(8, 8, 31), y @ mixing(8, 8, 32)


@task("independent", "fresh", 0.0)
def independent_mixed(rng, n):
    return np.hstack([rng.poisson(2, (n, 2)), rng.standard_normal((n, 2))]), rng.integers(3, size=(n, 2))


@task("mixed", "fresh", lambda: 2 * clipped_mi(0.9))
def clipped_2(rng, n):
    x, y = correlated(rng, n, 2, 0.9)
    return x, np.maximum(y, 0)


@task("labels", "fresh", lambda: blobs(5, 3, 1.0, 11)[1])
def blobs_5_in_3(rng, n):
    return blob_pairs(rng, n, 5, 3, 1.0, 11)


@task("rounded", "fresh", lambda: rounded_mi(0.7, 0.25))
def rounded_quarter(rng, n):
    x, y = correlated(rng, n, 1, 0.7)
    return np.round(4 * x) / 4, np.round(4 * y) / 4


@task("codes", "fresh", lambda: of_counts(0.4 * np.eye(6) + 0.6 / 6))
def categories_6(rng, n):
    x = rng.integers(6, size=(n, 1))
    return x, np.where(uniform(rng, n, 1) < 0.6, rng.integers(6, size=(n, 1)), x)


@task("heavy tails", "fresh", lambda: channel(lambda y, x: student_t.logpdf(y, 2, x, 0.5), NORMAL, cauchy_grid()))
def student_noise(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x + 0.5 * rng.standard_t(2, (n, 1))


@task("edge", "fresh", 2 * (0.4 - np.log(0.8)))
def uniform_noise_2(rng, n):
    x = uniform(rng, n, 2)
    return x, x + rng.uniform(-0.4, 0.4, (n, 2))


@task(
    "noise",
    "fresh",
    lambda: channel(lambda y, x: norm.logpdf(y, x, 0.05 + 0.5 * (x > 0)), NORMAL, np.linspace(-6, 6, 12001)),
)
def noise_in_one_half(rng, n):
    x = rng.standard_normal((n, 1))
    return x, x + (0.05 + 0.5 * (x > 0)) * rng.standard_normal((n, 1))


@task("low rank", "fresh", lambda: low_rank(15, 10, 0.5)[2])
def low_rank_15(rng, n):
    a, b, _ = low_rank(15, 10, 0.5)
    s = rng.standard_normal((n, 3))
    return s @ a + 0.5 * rng.standard_normal((n, 15)), s @ b + 0.5 * rng.standard_normal((n, 10))


@task("circle", "fresh", lambda: direction_mi(8.0))
def angle_and_point(rng, n):
    """A point of the circle with a free radius, and an angle near its own, cut at pi."""
    a = rng.uniform(-np.pi, np.pi, n)
    r = rng.gamma(4, size=n)
    return np.column_stack([r * np.cos(a), r * np.sin(a)]), np.angle(np.exp(1j * (a + rng.vonmises(0, 8.0, n))))


@task("time series", "fresh", of_rho(0.5))
def slow_series(rng, n):
    a, b = (ar(rng, n, 0.95, np.sqrt(1 - 0.95**2)) for _ in range(2))
    return np.exp(a), 0.5 * a + np.sqrt(0.75) * b
