"""Run the notebooks of `examples`, cell by cell.

    python -m tests.notebooks

runs those that are kept with what they showed, in temporary folders, and writes that into them anew.
"""

import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
WITH_OUTPUTS = ("run_your_model.ipynb", "curate_a_pool.ipynb")

Output = dict[str, Any]


def code_cells(name: str) -> list[str]:
    cells = json.loads((EXAMPLES / name).read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cells(sources: list[str]) -> list[list[Output]]:
    """What each cell prints and shows, one after another in the working folder."""
    names: dict[str, Any] = {"__name__": "notebook"}
    return [run_cell(source, names) for source in sources]


def run_cell(source: str, names: dict[str, Any]) -> list[Output]:
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    text = printed.getvalue()
    stream = [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}] if text else []
    return stream + ([] if value is None else [shown(value)])


def shown(value: object) -> Output:
    """What a notebook asks of the last value of a cell."""
    data: dict[str, Any] = {"text/plain": [repr(value)]}
    if hasattr(value, "_repr_html_"):
        data = {"text/html": value._repr_html_().splitlines(keepends=True)}
    elif hasattr(value, "_repr_png_"):
        data = {"image/png": base64.b64encode(value._repr_png_()).decode()}
    return {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data}


def text_of(outputs: list[Output]) -> str:
    """All texts of a cell's outputs."""
    data = [output["data"] if "data" in output else {"text/plain": output["text"]} for output in outputs]
    return "".join(line for one in data for kind in ("text/html", "text/plain") for line in one.get(kind, []))


def fill(path: Path) -> None:
    """Run a notebook in its own folder, and keep what it shows."""
    book = json.loads(path.read_text("utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ROPE_CACHE"] = os.environ["HF_HOME"] = folder
        os.chdir(folder)
        for cell, outputs in zip(cells, run_cells(["".join(cell["source"]) for cell in cells]), strict=True):
            cell["outputs"] = outputs
        os.chdir(EXAMPLES)  # a folder in use cannot be removed everywhere
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    for name in WITH_OUTPUTS:
        fill(EXAMPLES / name)
