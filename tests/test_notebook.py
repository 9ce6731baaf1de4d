"""The notebook of the first run, executed as it is committed."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_run.ipynb"


def test_its_outputs_are_of_a_whole_run():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])


@pytest.mark.slow
def test_it_runs_as_it_is_committed(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    client = pytest.importorskip("nbclient", reason="the extra notebook is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook["metadata"]["kernelspec"]["name"] = "python3"
    client.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    table, films = (
        output["data"]["text/plain"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "execute_result"
    )
    rows = {line.split()[0]: [float(value) for value in line.split()[1:]] for line in table.splitlines()[1:]}
    assert rows["MARN"][0] > rows["Popularity"][0] > 0.7
    assert len(films.splitlines()) == 6
