"""How far a run has come, and all that it takes to go on from there to the same numbers."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from ssvae_cli.datasets.order import Order
from ssvae_cli.distributions.seeding import seed_of_views
from ssvae_cli.objective import Objective
from ssvae_cli.optimizers import Optimization
from ssvae_cli.training import checkpoint
from ssvae_cli.training.average import WeightAverage

log = logging.getLogger(__name__)


class TrainState:
    """`epoch` epochs are done, and `step` steps of the next, whose ELBOs sum to `total`, in `train_s` seconds.

    noise: the generator of views, on the device. average: of the weights, None for none. stored: what else a checkpoint
    holds."""

    def __init__(
        self,
        run: Path,
        *,
        objective: Objective,
        optimization: Optimization,
        seed: int,
        device: torch.device,
        stored: dict,
        average: WeightAverage | None = None,
    ):
        self.run, self.objective, self.optimization, self.average = run, objective, optimization, average
        self.seed, self.device, self.stored = seed, device, stored
        self._order = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(device).manual_seed(seed_of_views(seed, device))
        self.epoch, self.step, self.train_s, self.metrics_bytes = 0, 0, 0.0, 0
        self.total = torch.zeros((), device=device)
        self._before_shuffle = self._order.get_state()

    def shuffle(self, count: int) -> Order:
        """The order of all samples in the epoch that begins, or goes on."""
        self._before_shuffle = self._order.get_state()
        return Order(count, self._order)

    def count_step(self, elbo: Tensor) -> None:
        """One more step is done, whose ELBO it was."""
        self.total += elbo.detach().clone()  # a CUDA graph writes its output again in place
        self.step += 1

    def end_epoch(self) -> None:
        """The epoch is done; the next has no step yet."""
        self.epoch, self.step = self.epoch + 1, 0
        self.total = torch.zeros((), device=self.device)
        self._before_shuffle = self._order.get_state()

    @property
    def evaluated(self) -> Objective:
        """With the weights that metrics are read of: the average, if there is one, or the last."""
        return self.average.objective if self.average else self.objective

    def save(self, metrics_bytes: int) -> None:
        """Replace the run's last checkpoint; metrics_bytes: how much of metrics.jsonl belongs to it."""
        checkpoint.save(
            self.run,
            {
                **self.stored,
                "objective": self.objective.state_dict(),
                "average": self.average and self.average.objective.state_dict(),
                "optimizer": self.optimization.state_dict(),
                "order": self._before_shuffle,
                "noise": self.noise.get_state(),
                "random": checkpoint.random_state(self.device),
                "epoch": self.epoch,
                "step": self.step,
                "device": self.device.type,
                "total": self.total,
                "train_s": self.train_s,
                "metrics_bytes": metrics_bytes,
            },
        )

    def load(self, run: Path) -> None:
        """Go on from the last checkpoint of `run`, which is that of rank zero. Raises UserError where there is none, or
        one that does not fit."""
        state = checkpoint.load(run)
        checkpoint.refuse_other_data(run, state.get("data"), self.stored["data"])
        before, now = state.get("threads"), self.stored["threads"]
        if self.device.type == "cpu" and before != now:
            log.info("begun with %s threads, goes on with %s: sums round differently from here on", before, now)
        with checkpoint.fitting(run):
            self.objective.load_state_dict(state["objective"])
            if self.average:
                self.average.objective.load_state_dict(state["average"])
            self.optimization.load_state_dict(state["optimizer"])
            self._order.set_state(state["order"])
            checkpoint.set_random_state(state["random"], self.device)
            self.epoch, self.step, self.total = state["epoch"], state["step"], state["total"].to(self.device)
            self.train_s, self.metrics_bytes = state["train_s"], state["metrics_bytes"]
            if state["device"] == self.device.type:
                self.noise.set_state(state["noise"])
            else:  # another kind of generator: other views from here on
                self.noise.manual_seed(self.seed + self.epoch + 1)
