"""`import ssvae_cli`: cheap, its names are found, and docs/python.md runs as printed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from sklearn.datasets import load_digits

import ssvae_cli as ssvae

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "python.md").read_text()


def test_the_import_alone_loads_neither_torch_nor_hydra_nor_numpy():
    heavy = ["torch", "hydra", "numpy", "sklearn", "omegaconf"]
    code = f"import sys, ssvae_cli; dir(ssvae_cli); print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_public_name_is_found_by_dir_by_import_and_by_type_checkers():
    tree = ast.parse(Path(ssvae.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    checked = {alias.name for node in block.body for alias in node.names}
    public = set(ssvae.__all__) - {"__version__"}
    assert checked == public and set(ssvae.__all__) <= set(dir(ssvae))
    for name in public:
        assert getattr(ssvae, name).__name__.rpartition(".")[2] == name
    assert not hasattr(ssvae, "no_such_name")


def test_the_page_runs_as_printed_and_shows_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    digits = (load_digits().images[:60] * 15.9375).astype("uint8")
    ssvae.SSVAE(folder="RUN", pairs="affine", epochs=1, device="cpu").fit(digits)
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), namespace)
    shown = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^ *print\(.*?\)  # (.*)$", PAGE, re.M)
    assert len(blocks) == 6 and len(promised) == 4
    for line in promised:
        assert any(out.startswith(line.removesuffix(" ...")) for out in shown), (line, shown)
    assert 0 < namespace["elbo"].item() < 4.86  # log 128


def test_the_loop_of_ones_own_has_ten_lines():
    (loop,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "backward" in block)
    assert len([line for line in loop.splitlines() if line.strip() and not line.startswith("import")]) == 10
