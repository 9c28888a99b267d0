"""The linear probe compared with scikit-learn's lbfgs on the features of a run, in turns: python probe.py RUN [ROUNDS]

Both choose among the penalties on validation, fit train and validation again with the chosen one, and read test,
with the same tolerance on the same standardised features, in one process. The probe compares penalties on a part of
train and begins each fit at the last. Processor seconds, accuracy on test and the ratio of the seconds, a line for each
round; then the median ratio. The same of one fit, of train and validation with the penalty 0.001, begun at 0 by both.
"""

import os
import statistics
import sys
from collections.abc import Callable, Iterator

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ssvae_cli.evaluation.linear_probe import Labelled, LinearProbe, accuracy
from ssvae_cli.load_run import load_run

PENALTIES, TOLERANCE = [1e-4, 1e-3, 1e-2, 1e-1], 1e-4  # of conf/metric/probe.yaml
PENALTY = 1e-3  # of one fit
COMPARED, MOST = 10_000, 1000  # rows of train on which penalties are compared; iterations, at most


def timed(fit: Callable[[], float]) -> "Timed":
    """(processor seconds, accuracy)."""
    before = os.times()
    score = fit()
    after = os.times()
    return after.user + after.system - before.user - before.system, score


Timed = tuple[float, float]  # processor seconds, accuracy


def of_sklearn(fitted: Labelled, read: Labelled, penalty: float) -> float:
    """Accuracy of lbfgs."""
    scaler = StandardScaler().fit(fitted[0].numpy())
    model = LogisticRegression(C=1 / (penalty * len(fitted[0])), tol=TOLERANCE, max_iter=MOST)
    model.fit(scaler.transform(fitted[0].numpy()), fitted[1].numpy())
    return model.score(scaler.transform(read[0].numpy()), read[1].numpy())


def in_turns(train: Labelled, validation: Labelled, test: Labelled, rounds: int) -> Iterator[tuple[Timed, Timed]]:
    """The whole procedure of the probe and of lbfgs, for each round."""
    probe = LinearProbe(penalties=PENALTIES, max_iterations=MOST, tolerance=TOLERANCE, compared=COMPARED)

    def ours() -> float:
        chosen, _ = probe.choose(train, validation)
        return probe.test(train, validation, test, chosen)

    def theirs() -> float:
        penalty = max(PENALTIES, key=lambda penalty: of_sklearn(train, validation, penalty))
        return of_sklearn(tuple(map(torch.cat, zip(train, validation))), test, penalty)

    for _ in range(rounds):
        yield timed(ours), timed(theirs)


def one_fit(train: Labelled, validation: Labelled, test: Labelled, rounds: int) -> Iterator[tuple[Timed, Timed]]:
    """A fit of the probe and of lbfgs with one penalty, from 0."""
    probe = LinearProbe(penalties=[PENALTY], max_iterations=MOST, tolerance=TOLERANCE, compared=COMPARED)
    x, y = map(torch.cat, zip(train, validation))
    ours = lambda: accuracy(probe.fit(x, y, int(y.max()) + 1, [PENALTY])[0].weights, *test)
    for _ in range(rounds):
        yield timed(ours), timed(lambda: of_sklearn((x, y), test, PENALTY))


def main() -> None:
    run, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    loaded = load_run(run, device="cpu", trust=False)
    parts = []
    for part in ("train", "validation", "test"):
        clean = (loaded.pairs.clean(batch) for batch in loaded.data.splits[part].batches(512))
        with torch.no_grad():
            parts.append((torch.cat([loaded.objective.features(x) for x in clean]), loaded.data.splits[part].y))
    print(f"{list(parts[0][0].shape)} features of train, {torch.get_num_threads()} threads")
    for what, compared in (("whole procedure", in_turns), ("one fit", one_fit)):
        ratios = []
        for (seconds, score), (their_seconds, their_score) in compared(*parts, rounds):
            ratios.append(their_seconds / seconds)
            of_both = f"probe {seconds:.1f} s, {score:.4f}; lbfgs {their_seconds:.1f} s, {their_score:.4f}"
            print(f"{what}: {of_both}: {ratios[-1]:.2f} times", flush=True)
        print(f"{what}: the probe is {statistics.median(ratios):.2f} times as fast, median of {rounds}")


if __name__ == "__main__":
    main()
