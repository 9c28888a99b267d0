#!/usr/bin/env bash
# An environment of its own for lightly 1.6, which sees the packages of that in which ssvae is installed: torch, ssvae.
# usage: environment.sh FOLDER PYTHON   (PYTHON: the interpreter of ssvae's environment)
set -e
folder=$1 python=$2
"$python" -m venv "$folder"
shared=$("$python" -c "import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])")
own=$("$folder/bin/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
echo "import site; site.addsitedir('$shared')" > "$own/shared.pth"
"$folder/bin/python" -m pip install -q "lightly==1.6.0"
"$folder/bin/python" -c "import lightly, torch; print('lightly', lightly.__version__, 'torch', torch.__version__)"
