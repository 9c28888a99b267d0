#!/usr/bin/env bash
# environments.sh FOLDER [PYTHON]: an environment for each peer, in FOLDER, outside the repository.
# torch-mist runs on the torch that ssvae runs on: PYTHON is ssvae's own interpreter, and its packages are seen.
# torch-mist imports pandas without asking for it; benchmark-mi's equinox does not import under jax 0.4.34 or later.
# Python 3.10 or 3.11 serves both.
set -euo pipefail
folder=$1 python=${2:-python3}
packages=$("$python" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')

"$python" -m venv "$folder/torch-mist"
echo "$packages" >"$("$folder/torch-mist/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch.pth"
"$folder/torch-mist/bin/python" -m pip install -q torch-mist==0.2.17 'numpy<2' 'pandas<3'

"$python" -m venv "$folder/benchmark-mi"
"$folder/benchmark-mi/bin/python" -m pip install -q benchmark-mi==0.1.3 jax==0.4.30 jaxlib==0.4.30
