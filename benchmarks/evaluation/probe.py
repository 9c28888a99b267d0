"""The linear probe compared with scikit-learn's lbfgs on the features of a run, in turns: python probe.py RUN [ROUNDS]

Both fit the same standardised features with the same penalty and the same tolerance, in one process. Processor seconds
of each fit, the accuracy on test of each, and the ratio of the seconds, a line for each round; then the median ratio.
"""

import os
import statistics
import sys
from collections.abc import Callable

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ssvae_cli.evaluation.linear_probe import LinearProbe, accuracy
from ssvae_cli.load_run import load_run

PENALTY, TOLERANCE, MOST = 0.001, 1e-4, 10_000  # of conf/metric/probe.yaml; iterations, more than either needs


def timed(fit: Callable[[], float]) -> tuple[float, float]:
    """(processor seconds, accuracy)."""
    before = os.times()
    score = fit()
    after = os.times()
    return after.user + after.system - before.user - before.system, score


def main() -> None:
    run, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    loaded = load_run(run, device="cpu", trust=False)
    features = {}
    for part in ("train", "test"):
        clean = (loaded.pairs.clean(batch) for batch in loaded.data.splits[part].batches(512))
        with torch.no_grad():
            features[part] = torch.cat([loaded.objective.features(x) for x in clean]), loaded.data.splits[part].y
    (x, y), (x_test, y_test) = features["train"], features["test"]
    probe = LinearProbe(penalties=[PENALTY], max_iterations=MOST, tolerance=TOLERANCE, compared=len(x))

    def ours() -> float:
        (fit,) = probe.fit(x, y, int(y.max()) + 1, [PENALTY])
        return accuracy(fit.weights, x_test, y_test)

    def theirs() -> float:
        scaler = StandardScaler().fit(x.numpy())
        fit = LogisticRegression(C=1 / (PENALTY * len(x)), tol=TOLERANCE, max_iter=MOST)
        fit.fit(scaler.transform(x.numpy()), y.numpy())
        return fit.score(scaler.transform(x_test.numpy()), y_test.numpy())

    print(f"{tuple(x.shape)} features, penalty {PENALTY}, tolerance {TOLERANCE}, {torch.get_num_threads()} threads")
    ratios = []
    for _ in range(rounds):
        (seconds, score), (of_sklearn, score_of_sklearn) = timed(ours), timed(theirs)
        ratios.append(of_sklearn / seconds)
        of_both = f"probe {seconds:.1f} s, {score:.4f}; lbfgs {of_sklearn:.1f} s, {score_of_sklearn:.4f}"
        print(f"{of_both}: {ratios[-1]:.2f} times", flush=True)
    print(f"the probe is {statistics.median(ratios):.2f} times as fast, median of {rounds}")


if __name__ == "__main__":
    main()
