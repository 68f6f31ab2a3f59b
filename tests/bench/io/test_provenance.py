"""Vectors say what they were embedded from, and a score of something else says so too."""

import logging
import shutil

import numpy as np
import pytest

from rope.bench.evaluation import evaluate
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.bench.questions import diagnose
from rope.bench.running.run import run_embedder
from rope.dataset.build import build_dataset
from rope.synthetic.release import write_release


class Lengths:
    name, fingerprint = "lengths", "1"

    def embed(self, samples):
        return np.array([[len(sample.text or "") + 1, len(sample.frames), 1] for sample in samples], float)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, the same with another picture, the same with another title, and vectors of the first."""
    folder = tmp_path_factory.mktemp("made")
    options = {"products": 10, "seed": 5, "validation_share": 0.5, "mp4": False, "workers": 1, "progress": False}
    write_release(folder / "release", **options)
    titles = folder / "release" / "test_page_titles.txt"
    for name in ("own", "picture", "title"):
        if name == "picture":
            pages = (folder / "release" / "test_page_images.txt").read_text("utf-8").splitlines()
            first, second = (folder / "release" / "images" / line.split(", ")[1] for line in pages[:2])
            shutil.copy(first, second)
        if name == "title":
            titles.write_text(titles.read_text("utf-8").replace("\n", " new\n", 1), "utf-8")
        build_dataset(folder / "release", folder / name, name="mini", progress=False)
    run_embedder(Lengths(), folder / "own", folder / "e.parquet", progress=False)
    return folder


@pytest.mark.parametrize(
    ("scored", "said"),
    [
        ("own", None),
        ("picture", "other files of this dataset: the ids and texts are the same, the images may not be"),
        ("title", "from the dataset "),
    ],
)
def test_a_score_of_vectors_of_another_dataset_says_so(scored, said, made, caplog):
    with caplog.at_level(logging.WARNING):
        evaluate(made / "e.parquet", made / scored, quick=True)
        diagnose(made / "e.parquet", made / scored)
    assert [said in record.message for record in caplog.records] == ([] if said is None else [True, True])


def test_vectors_that_say_nothing_are_scored_without_a_word(made, caplog):
    read = read_embeddings([made / "e.parquet"])
    write_embeddings(made / "plain.parquet", {name: (rows.sample_ids, rows.vectors) for name, rows in read.items()})
    evaluate(made / "plain.parquet", made / "title", quick=True)
    assert caplog.records == []
