"""docs/tutorial.ipynb runs from top to bottom, and holds no outputs of another day."""

import json
from pathlib import Path

NOTEBOOK = json.loads((Path(__file__).parents[1] / "docs" / "tutorial.ipynb").read_text())


def test_its_cells_run_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    cells = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells):
        exec(compile(cell, f"docs/tutorial.ipynb, cell {number}", "exec"), namespace)
    assert len(cells) >= 5 and capsys.readouterr().out.count("linear probe on test") == 3
    assert all(score > 0.5 for score in namespace["scores"].values()) and namespace["same"] > 0.4
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_it_is_stored_without_outputs():
    assert NOTEBOOK["nbformat"] == 4 and all(cell.get("id") for cell in NOTEBOOK["cells"])
    assert all(not cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
