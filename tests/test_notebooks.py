"""The notebooks run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LONG = {  # half a minute to minutes of CPU time
    "02_heterogeneous_search.ipynb", "04_distillation.ipynb", "05_cnn_io_stream.ipynb", "06_anomaly_trigger.ipynb",
    "07_root_to_firmware.ipynb", "08_mnist.ipynb",
}  # fmt: skip


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.slow] * (path.name in LONG)) for path in NOTEBOOKS], ids=lambda path: path.name
)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "notebooks are committed without outputs"
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    streams = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "stream"]
    noise = [out.text for out in streams if out.name == "stderr"]
    assert not noise, f"the notebook prints on stderr: {noise}"
