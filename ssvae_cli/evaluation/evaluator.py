"""Everything that is read from a run: ELBO and bounds, probes, geometry, pictures.

Validation is read as often as wanted; test is read by `test`, once, after the last epoch.
"""

import logging
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ssvae_cli.errors import require
from ssvae_cli.evaluation import elbo, figures
from ssvae_cli.evaluation.both_sides import KEYS, Estimate, both_sides
from ssvae_cli.evaluation.degeneracy import warn_of_degeneracy
from ssvae_cli.evaluation.density import fit_density
from ssvae_cli.evaluation.factors import linear_r2, mean_correlation
from ssvae_cli.evaluation.geometry import alignment, effective_rank, uniformity
from ssvae_cli.evaluation.knn import knn_accuracy
from ssvae_cli.evaluation.spread import spread
from ssvae_cli.priors.base import ScorePrior

log = logging.getLogger(__name__)

VIEWS_SEED = 0  # evaluation views are the same for every run, whatever its seed
CHUNK = 512
DENSITY_SAMPLES = 20_000  # pairs that densities and critics are fitted to, about: of small sets several views an image
SHOWN_PAIRS = 16
SHOWN_SCORES = 64
FACTOR_KEYS = ["factors/r2/test", "factors/r2_z/test", "factors/mcc/test", "factors/accuracy/test"]
SPLITS = ("train", "validation", "test")
RAW = 8192  # numbers in one x, up to which the probe is also read on x itself


class Evaluator:
    """Reads one objective on one data set. Labels are used here, and nowhere in training."""

    def __init__(self, *, objective, pairs, probe, data):
        """data: on the objective's device."""
        self.objective, self.pairs, self.probe, self.data = objective, pairs, probe, data
        self.shape, _ = pairs.shapes(data)
        self.device = next(objective.parameters()).device
        self.last = None

    def validation(self) -> dict[str, float | None]:
        """What is read while training: elbo/, evidence/, mi/ and probe/ on validation; geometry/."""
        self.objective.eval()
        features, chosen = self._features(self.objective), None
        values = _tagged(self._elbo("validation"), "validation")
        values |= dict.fromkeys(["probe/linear/validation", "probe/knn/validation"])
        if self._are_labelled("train", "validation"):
            train, validation = (self._labelled(features, s) for s in ("train", "validation"))
            chosen, values["probe/linear/validation"] = self.probe.choose(train, validation)
            values["probe/knn/validation"] = knn_accuracy(*train, *validation)
        self.last = (features, chosen)
        return values | self._geometry("validation")

    def test(self) -> dict[str, float | None]:
        """What summary.json reports, all of it on test, of the weights that `validation` read last."""
        if self.last is None:
            self.validation()
        self.objective.eval()
        features, chosen = self.last
        values = self._nats_on_test()
        values |= dict.fromkeys(["probe/linear/test", "probe/knn/test"])
        if self._are_labelled(*SPLITS):
            labelled = [self._labelled(features, s) for s in SPLITS]
            values["probe/linear/test"] = self.probe.test(*labelled, chosen)
            values["probe/knn/test"] = knn_accuracy(*labelled[0], *labelled[2])
        return values | self._geometry("test") | self._factors(features)

    def linear_probe_on_test(self, objective) -> float | None:
        """Test accuracy of the same probe on the features of another objective, or on raw x where it is None.

        Null for data without labels, and for raw x too large for the probe's covariance.
        """
        if not self._are_labelled(*SPLITS) or (objective is None and math.prod(self.shape) > RAW):
            return None
        features = self._features(objective)
        labelled = [self._labelled(features, s) for s in SPLITS]
        chosen, _ = self.probe.choose(*labelled[:2])
        return self.probe.test(*labelled, chosen)

    @torch.no_grad()
    def figures(self) -> Iterator[tuple[str, object]]:
        """Pictures of what training saw: a grid of pairs, and the scores of a batch of validation pairs."""
        generator = self._generator()
        view, view_prime = self.pairs(next(self.data.validation.batches(SHOWN_SCORES)), generator)
        yield "pairs", figures.pair_grid(*(self.pairs.to_unit(v[:SHOWN_PAIRS]).cpu() for v in (view, view_prime)))
        if isinstance(self.objective.prior, ScorePrior):
            self.objective.eval()
            encoded = self.objective.encode(view, view_prime, generator)
            yield "scores", figures.score_matrix(self.objective.prior.coupling(encoded.z, encoded.z_prime).cpu())
        test = self.data.test
        yield "latents", figures.latents(self.latents("test")[0].cpu(), test.y.cpu(), self.data.classes)

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(VIEWS_SEED)

    @torch.no_grad()
    def _features(self, objective) -> dict[str, Tensor]:
        """An objective's features of the clean images, or their pixels where it is None, [N, F] a split."""
        read = torch.nn.Flatten() if objective is None else objective.eval().features
        return {
            name: _finite(torch.cat([read(self.pairs.clean(batch)) for batch in split.batches(CHUNK)]), "feature")
            for name, split in self.data.splits.items()
        }

    @torch.no_grad()
    def _factors(self, features: dict[str, Tensor]) -> dict[str, float | None]:
        """How well the data's known factors are read from features and from z on test; null where there are none."""
        values = dict.fromkeys(FACTOR_KEYS)
        columns = self.data.factors
        numbers = [i for i, factor in enumerate(columns) if factor.classes is None]
        if not columns:
            return values
        known, z = {}, {}
        for name, split in self.data.splits.items():
            known[name] = torch.cat([self.pairs.factors(batch) for batch in split.batches(CHUNK)])
            z[name] = torch.cat([self.objective.encoder(self.pairs.clean(b)).mean for b in split.batches(CHUNK)])
        if numbers:
            true = {name: factors[:, numbers] for name, factors in known.items()}
            for key, x in {"factors/r2/test": features, "factors/r2_z/test": z}.items():
                each = linear_r2(x["train"], true["train"], x["test"], true["test"])
                log.info("%s  %s", key, "  ".join(f"{columns[i].name} {r2:.3f}" for i, r2 in zip(numbers, each)))
                values[key] = float(each.mean())
            values["factors/mcc/test"] = mean_correlation(z["test"], true["test"])
        accuracies = []
        for i in sorted(set(range(len(columns))) - set(numbers)):
            labelled = [(features[name], known[name][:, i].long()) for name in SPLITS]
            chosen, _ = self.probe.choose(*labelled[:2])
            accuracies.append(self.probe.test(*labelled, chosen))
            log.info("factors/accuracy/test  %s %.3f", columns[i].name, accuracies[-1])
        if accuracies:
            values["factors/accuracy/test"] = sum(accuracies) / len(accuracies)
        return values

    def _are_labelled(self, *splits: str) -> bool:
        return all(bool((self.data.splits[split].y >= 0).any()) for split in splits)

    def _labelled(self, features: dict[str, Tensor], split: str) -> tuple[Tensor, Tensor]:
        return features[split], self.data.splits[split].y.to(self.device)

    @torch.no_grad()
    def latents(self, split: str, repeats: int = 1, most: int | None = None) -> tuple[Tensor, ...]:
        """The latents of `repeats` pairs of views of every image of a split, [repeats * N, D] each.

        most: of a split of more images, as many, evenly spread.
        """
        images, generator, rows = self.data.splits[split], self._generator(), []
        if most is not None and len(images) > most:
            images = images.rows(spread(len(images), most, self.device))
        for _ in range(repeats):
            for batch in images.batches(CHUNK):
                rows.append(self.objective.encode(*self.pairs(batch, generator), generator).latents)
        return tuple(_finite(torch.cat(side), "latent") for side in zip(*rows))

    def _elbo(self, split: str, log_q=None) -> dict[str, float | None]:
        return elbo.evaluate(self.objective, self.pairs, self.data.splits[split], self._generator(), log_q)

    def _nats_on_test(self) -> dict[str, float | str | None]:
        """The ELBO and its bounds on test, explicit priors with fresh densities; then both sides of Eq. 23."""
        prior = self.objective.prior
        if self.objective.decoder is not None:  # the ordinary VAE, another ELBO
            return _tagged(self._elbo("test"), "test") | dict.fromkeys(KEYS)
        views = max(1, DENSITY_SAMPLES // len(self.data.train))
        fitting = [self.latents(split, views, DENSITY_SAMPLES) for split in ("train", "validation")]
        warn_of_degeneracy(self.objective, fitting[0], math.prod(self.shape))
        log_q = None if isinstance(prior, ScorePrior) else [fit_density(*side, prior.space) for side in zip(*fitting)]
        values = self._elbo("test", log_q)
        of_elbo = Estimate(values["elbo"], values["error"])
        warn_above_zero(prior, of_elbo)
        return _tagged(values, "test") | both_sides(prior, of_elbo, *fitting, self.latents("test"))

    @torch.no_grad()
    def _geometry(self, split: str) -> dict[str, float]:
        latents = self.latents(split)
        z = latents[0]
        aligned = alignment(*latents) if len(latents) == 2 else None
        return {
            "geometry/alignment": aligned,
            "geometry/uniformity": uniformity(z),
            "geometry/rank": effective_rank(z),
        }


def warn_above_zero(prior, of_elbo: Estimate) -> None:
    """Warn where an unstructured prior's ELBO, -KL(Q || P), lies above 0 by three errors."""
    if prior.views == 1 and of_elbo.value > 3 * of_elbo.error:
        log.warning(
            "elbo/test reads %.2f nats where -KL(Q || P) is at most 0 (Eq. 9): the density of z was not learned; "
            "kl/test is by another classifier", of_elbo.value,
        )  # fmt: skip


def _finite(z: Tensor, what: str) -> Tensor:
    """z, [N, D]; raises UserError where the last steps left weights that make no numbers of it."""
    require(bool(z.isfinite().all()), f"training diverged: a {what} is not finite when evaluated; lower optimizer.lr")
    return z


def _tagged(values: dict[str, float | None], split: str) -> dict[str, float | None]:
    """`elbo` -> `elbo/test`."""
    return {f"{key}/{split}": value for key, value in values.items() if key != "error"}
