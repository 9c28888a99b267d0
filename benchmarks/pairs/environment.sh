#!/usr/bin/env bash
# environment.sh DIR PYTHON: an environment in DIR with kornia 0.9, this program, and the packages PYTHON sees (torch).
set -e
"$2" -m venv "$1"
site=$("$1/bin/python" -c "import site; print(site.getsitepackages()[0])")
"$2" -c "import sys; print('\n'.join(p for p in sys.path if p.endswith('site-packages')))" > "$site/shared.pth"
realpath "$(dirname "$0")/../.." >> "$site/shared.pth"
"$1/bin/python" -m pip install -q --no-deps kornia==0.9.0 kornia_rs
