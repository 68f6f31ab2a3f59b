"""The pages of the doctor, of failures and of a map, in a browser."""

import numpy as np
import pytest

import rope.bench
from rope.bench.questions import diagnose, map_page
from rope.dataset.directory import read_labels
from tests.looks import LOOKS, look_at


@pytest.fixture(scope="module")
def pages(dataset, tmp_path_factory):
    """Each page with pictures, by name."""
    folder, rng = tmp_path_factory.mktemp("looks"), np.random.default_rng(0)
    labels = read_labels(dataset, "validation")
    given = {d: (rows.sample_ids, rng.normal(size=(len(rows.sample_ids), 16))) for d, rows in labels.items()}
    diagnose(given, dataset, name="random").save_page(folder / "doctor.html", pictures=True)
    rope.bench.evaluate(given, dataset, name="random").failures(given, dataset).save_page(folder / "failures.html")
    pytest.importorskip("sklearn", reason="the extra figures is not installed")
    (folder / "map.html").write_text(map_page(given, dataset, products=2, pictures=True), "utf-8")
    return folder


@LOOKS
@pytest.mark.parametrize("name", ["doctor", "failures", "map"])
def test_a_page_breaks_no_rule_of_access_and_asks_for_nothing(chromium, pages, name, look):
    look_at(chromium, pages / f"{name}.html", name, look)
