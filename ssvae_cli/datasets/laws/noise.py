"""A law with further coordinates that are noise."""

import torch

from ssvae_cli.datasets.base import Factor
from ssvae_cli.datasets.laws.base import Law, like


class WithNoise(Law):
    """(z, e) and (z', e'): z and z' of a law, e and e' standard normal in `noise` dimensions and independent.

    I, truth, classes and what a chain keeps are the law's.
    """

    def __init__(self, law: Law, noise: int):
        super().__init__(dim=law.dim + noise)
        self.law, self.noise = law, noise
        self.stationary, self.markov, self.classes, self.truth = law.stationary, law.markov, law.classes, law.truth

    def sample(self, count, generator):
        drawn = self.law.sample(count, generator)
        return drawn._replace(z=torch.cat([drawn.z, torch.randn(count, self.noise, generator=generator)], 1))

    def partner(self, z, shared, generator):
        signal, noise = z.split([self.law.dim, self.noise], 1)
        return torch.cat([self.law.partner(signal, shared, generator), like(torch.randn, noise, generator)], 1)

    def information(self):
        return self.law.information()

    def factors(self):
        signal = [factor._replace(group=factor.group or "signal") for factor in self.law.factors()]
        return (*signal, *(Factor(f"noise{i}", group="noise") for i in range(self.noise)))
