"""Steps a second of one library: speed.py LIBRARY SAMPLES. The CPU time of 460 steps less that of 260, on one sample.

CPU time of one thread, so that what else runs on the machine matters little. Each library's own loop as the comparison
runs it: ours looks at validation every 50 steps, torch-mist every 94; benchmark-mi's look at step 250 is in both times.
The difference leaves out what a run costs once (compiling, reading on test).
"""

import sys
import time
from pathlib import Path

from samples import load

SHORT, LONG = 260, 460


def rate(run) -> float:
    run(20)  # the first call pays for imports and caches
    times = {}
    for steps in (SHORT, LONG):
        began = time.process_time()
        run(steps)
        times[steps] = time.process_time() - began
    return (LONG - SHORT) / (times[LONG] - times[SHORT])


if __name__ == "__main__":
    library, folder = sys.argv[1:]
    x, y, _ = load(Path(folder), "gaussian-6", 0)
    if library == "ssvae":
        import ours
        import torch

        torch.set_num_threads(1)
        cases = [(name, critic) for critic in ours.CRITIC for name in ours.NAMES[critic]]

        def run(name, critic, steps):
            return ours.estimate(ours.posed(x, y, 0, critic), name, critic, steps)

    elif library == "torch-mist":
        import peer_torch_mist as peer
        import torch

        torch.set_num_threads(1)
        cases = [(name, critic) for critic in peer.HIDDEN for name in peer.NAMES]

        def run(name, critic, steps):
            return peer.estimate(x, y, name=name, critic=critic, seed=0, steps=steps)

    else:
        import peer_benchmark_mi as peer

        cases = [(name, "concat") for name in peer.NAMES]

        def run(name, critic, steps):
            return peer.estimate(x, y, name=name, seed=0, steps=steps)

    for name, critic in cases:
        speed = rate(lambda steps: run(name, critic, steps))  # noqa: B023
        print(f"{library},{name},{critic.replace('joint', 'concat')},{speed:.0f}", flush=True)
