"""All methods on one problem, line by line."""

import math
import traceback
from collections.abc import Callable, Iterable

import torch

from ssvae_cli.errors import machine_error, require
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.mi.data import shuffled
from ssvae_cli.mi.problem import NOTHING, Method, Problem, Reading
from ssvae_cli.mi.recommend import Line

SHUFFLED = 2000  # pairs of the check on shuffled pairs, at most


def read(methods: dict[str, Method], problem: Problem, check: bool, begin: Callable[[str], None]) -> Iterable[Line]:
    """The line of each method that applies, in order, as soon as it is read. begin: called with the name of each.

    A user's own method that raises has a line that says so: the others keep theirs."""
    apart = shuffled(problem, SHUFFLED) if check else None
    for name, method in methods.items():
        begin(name)
        try:
            if method.refusal(problem):
                continue
            reading, zero = answer(method, problem), None
            if apart and not method.refusal(apart):
                zero = answer(method, apart).estimate
            line = Line(name, method.relation, method.ceiling(problem), reading, zero)
        except Exception as error:
            if type(method).__module__.startswith("ssvae_cli.") or machine_error(error) is not error:
                raise
            line = Line(name, method.relation, math.inf, Reading(NOTHING), None, fault_of(method, error))
        yield line


def fault_of(method: Method, error: Exception) -> str:
    """What a user's own method raised, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error).split()) or "no reason given"
    return f"{type(method).__name__} raised {type(error).__name__}: {said} (line {place.lineno} of {place.filename})"


def answer(method: Method, problem: Problem) -> Reading:
    """The method's reading, with weights and batches that do not depend on what ran before."""
    torch.manual_seed(problem.seed)
    reading = method(problem)
    fits = isinstance(reading, Reading) and isinstance(reading.estimate, Estimate)
    require(fits, f"it gave {reading!r}, and not a Reading with an Estimate")
    return reading
