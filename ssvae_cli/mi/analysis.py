"""All methods on one problem, line by line."""

from collections.abc import Callable, Iterable

import torch

from ssvae_cli.mi.data import shuffled
from ssvae_cli.mi.problem import Method, Problem, Reading
from ssvae_cli.mi.recommend import Line

SHUFFLED = 2000  # pairs of the check on shuffled pairs, at most


def read(methods: dict[str, Method], problem: Problem, check: bool, begin: Callable[[str], None]) -> Iterable[Line]:
    """The line of each method that applies, in order, as soon as it is read. begin: called with the name of each."""
    apart = shuffled(problem, SHUFFLED) if check else None
    for name, method in methods.items():
        begin(name)
        if method.refusal(problem):
            continue
        reading, zero = answer(method, problem), None
        if apart and not method.refusal(apart):
            zero = answer(method, apart).estimate
        yield Line(name, method.relation, method.ceiling(problem), reading, zero)


def answer(method: Method, problem: Problem) -> Reading:
    """The method's reading, with weights and batches that do not depend on what ran before."""
    torch.manual_seed(problem.seed)
    return method(problem)
