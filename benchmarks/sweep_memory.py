"""Memory that a sweep holds from job to job in one process: resident size, peak and tensors alive as each job begins.

python benchmarks/sweep_memory.py --jobs 20 [key=value ...]
"""

import argparse
import gc
import resource
import sys
import tempfile
from pathlib import Path

import torch

from ssvae_cli.cli import main as cli
from ssvae_cli.cli import sweeps as runs

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--jobs", type=int, default=20)
parser.add_argument("overrides", nargs="*", help="of every job")
options = parser.parse_args()
clear = runs.clear_memory


def measured() -> None:
    clear()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    alive = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = f"resident {pages * resource.getpagesize() / 2**20:7.1f} MiB  peak {peak / 2**10:7.1f} MiB  tensors {alive}"
    if torch.cuda.is_available():
        line += f"  GPU {torch.cuda.memory_allocated() / 2**20:.1f} MiB"
    print(line, file=sys.stderr)


runs.clear_memory = measured
with tempfile.TemporaryDirectory() as folder:
    seeds = ",".join(map(str, range(options.jobs)))
    one = ["trainer.epochs=1", *options.overrides, f"hydra.sweep.dir={folder}/sweep"]
    sys.argv = ["ssvae", "train", "-m", f"seed={seeds}", *one]
    cli.main()
