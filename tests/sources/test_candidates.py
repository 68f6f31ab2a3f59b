"""M-BEIR and MMEB, as small releases in their layouts: datasets of candidates with queries beside them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from baselines.handcrafted import Handcrafted
from rope.bench import evaluate_queries
from rope.bench.queries.run import embed_queries
from rope.bench.running.run import run_embedder
from rope.dataset import build
from rope.dataset.build import build_dataset
from rope.dataset.manifest import MANIFEST_NAME
from rope.dataset.queries import read_queries
from rope.dataset.validate import validate
from rope.errors import ReleaseError, UsageError
from rope.query import Positive
from rope.sources import mbeir, mmeb
from rope.sources.formats import find_source
from tests.sources.other_releases import write_image
from tests.synthetic.folders import hashes


def jsonl(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def write_mbeir(folder):
    """Two composed queries over pictures, one with a grade; a text query over captions; one without an answer."""

    def query(qid, text, image, *positives, negatives=()):
        return {
            "qid": qid,
            "query_txt": text,
            "query_img_path": image,
            "query_modality": "image,text",
            "query_src_content": None,
            "pos_cand_list": list(positives),
            "neg_cand_list": list(negatives),
            "task_id": 7,
        }

    for name in ("1", "2", "3", "q"):
        write_image(folder / f"mbeir_images/{name}.jpg")
    jsonl(
        folder / "cand_pool/local/mbeir_fashion_task7_cand_pool.jsonl",
        *(
            {"did": f"7:{i}", "txt": None, "img_path": f"mbeir_images/{i}.jpg", "modality": "image"}
            for i in (1, 2, 3, 4)
        ),
        {"did": "7:9", "txt": " ", "img_path": None, "modality": "text"},
    )
    jsonl(
        folder / "cand_pool/local/mbeir_text_task3_cand_pool.jsonl",
        {"did": "7:20", "txt": "a red dress", "img_path": None, "modality": "text"},
    )
    jsonl(
        folder / "query/test/mbeir_fashion_task7_test.jsonl",
        query("7:101", "in blue", "mbeir_images/q.jpg", "7:1", "7:2", negatives=["7:3", "7:1"]),
        query("7:102", "longer", "mbeir_images/gone.jpg", "7:1"),
        query("7:103", "of an image that is missing", None, "7:4"),
        query("7:104", "red", "mbeir_images/q.jpg", {"did": "7:20"}),
    )
    (folder / "qrels/test").mkdir(parents=True)
    (folder / "qrels/test/mbeir_fashion_task7_test_qrels.txt").write_text("7:101 0 7:2 2 7\n7:101 0 7:3 0 7\n")
    return folder


def write_mmeb(folder):
    """A subset of composed queries over pictures, and one of texts, with candidates of their own."""
    for name in ("q", "a", "b"):
        write_image(folder / f"images/CIRR/{name}.jpg")
    mark = "<|image_1|>\n"
    rows = {
        "CIRR": {
            "qry_text": [f"{mark}Make it red.", f"{mark}Make it blue."],
            "qry_img_path": ["CIRR/q.jpg", "CIRR/q.jpg"],
            "tgt_text": [[f"{mark}Represent the image.", f"{mark}Represent the image."]] * 2,
            "tgt_img_path": [["CIRR/a.jpg", "CIRR/b.jpg"], ["CIRR/b.jpg", "CIRR/a.jpg"]],
        },
        "VOC": {
            "qry_text": ["What is it?"],
            "qry_img_path": [""],
            "tgt_text": [["a cat", "a dog", "a cat"]],
            "tgt_img_path": [["", "", ""]],
        },
    }
    for name, columns in rows.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / name / "test-00000-of-00001.parquet")
    return folder


def test_mbeir_becomes_pages_and_captions_with_queries(tmp_path, caplog):
    release = write_mbeir(tmp_path / "release")
    assert find_source(release).kind == "mbeir"
    report = build_dataset(release, tmp_path / "out", progress=False)
    assert report.manifest.counts["validation"]["pages"] == 3
    assert {fault.kind: fault.count for fault in report.faults}["bad_row"] == 1
    assert "2 of 4 queries" in caplog.text
    one, two = read_queries(tmp_path / "out", "validation").queries
    assert (one.query_id, one.text, one.kind) == ("7:101", "in blue", "composed")
    assert one.positives == (Positive("page", "7:1", 1), Positive("page", "7:2", 2))
    assert one.negatives == (("page", "7:3"),)
    assert two.positives == (Positive("caption", "7:20"),)
    assert validate(tmp_path / "out", decode=True) == []


def test_a_second_build_leaves_the_queries_as_they_are(tmp_path):
    release = write_mbeir(tmp_path / "release")
    build_dataset(release, tmp_path / "out", progress=False)
    file = tmp_path / "out/queries/validation.parquet"
    before = file.read_bytes()
    assert not build_dataset(release, tmp_path / "out", progress=False).is_new
    assert file.read_bytes() == before
    file.unlink()  # a build that was killed at this moment
    build_dataset(release, tmp_path / "out", progress=False)
    assert file.read_bytes() == before


@pytest.mark.parametrize("last", ["README.md", MANIFEST_NAME])
def test_a_build_that_is_stopped_leaves_no_dataset_without_its_queries(last, tmp_path, monkeypatch):
    release, move = write_mbeir(tmp_path / "release"), build._move
    build_dataset(release, tmp_path / "calm", progress=False)

    def stop_after(source, target):
        move(source, target)
        if target.name == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(build, "_move", stop_after)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(release, tmp_path / "data", progress=False)
    monkeypatch.undo()
    assert (tmp_path / "data" / MANIFEST_NAME).is_file() == (last == MANIFEST_NAME)
    if last == MANIFEST_NAME:
        assert read_queries(tmp_path / "data", "validation") == read_queries(tmp_path / "calm", "validation")
    build_dataset(release, tmp_path / "data", progress=False)
    assert hashes(tmp_path / "data") == hashes(tmp_path / "calm")


def test_mmeb_is_searched_among_each_querys_own_candidates(tmp_path):
    release = write_mmeb(tmp_path / "release")
    assert find_source(release).kind == "mmeb"
    report = build_dataset(release, tmp_path / "out", progress=False)
    counts = report.manifest.counts["validation"]
    assert (counts["pages"], counts["captions"]) == (2, 2)
    first, second, text = read_queries(tmp_path / "out", "validation").queries
    assert [one.query_id for one in (first, second, text)] == ["CIRR:1", "CIRR:2", "VOC:1"]
    assert (first.text, first.kind, text.kind) == ("Make it red.", "composed", "text")
    assert (len(first.candidates), len(text.candidates)) == (2, 2)
    assert first.positives[0].key != second.positives[0].key
    embed_queries(Handcrafted(), tmp_path / "out", tmp_path / "q.parquet", progress=False)
    run_embedder(Handcrafted(), tmp_path / "out", tmp_path / "e.parquet", progress=False)
    found = evaluate_queries([tmp_path / "e.parquet", tmp_path / "q.parquet"], tmp_path / "out")
    names = ["text-to-caption-within", "text-to-mixed-within", "composed-to-page-within", "composed-to-mixed-within"]
    assert sorted(found.tasks) == sorted(names)
    assert found.tasks["composed-to-page-within"]["by_chance"]["R@1"] == 0.5
    assert validate(tmp_path / "out", decode=True) == []


def test_a_run_goes_on_where_no_pair_can_be_scored(tmp_path, capsys, monkeypatch):
    import sys

    from rope.bench.cli import main

    build_dataset(write_mmeb(tmp_path / "release"), tmp_path / "out", progress=False)
    words = ["run", "--model", "baselines:handcrafted", "--data", tmp_path / "out", "--out", tmp_path / "e.parquet"]
    for more, expected in ((["--queries", tmp_path / "q.json"], 0), ([], 1)):
        monkeypatch.setattr(sys, "argv", ["rope-bench", *map(str, [*words, *more])])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == expected
        assert "no product has both a page and a caption" in capsys.readouterr().err
    assert json.loads((tmp_path / "q.json").read_text())["queries"]["n"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda folder: (folder / "query/test/mbeir_fashion_task7_test.jsonl").unlink(),
            "put the queries of the tasks",
        ),
        (lambda folder: jsonl(folder / "query/test/x.jsonl", {"qid": "1"}), r"x.jsonl:1: not a query of M-BEIR"),
        (lambda folder: (folder / "qrels/test/x.txt").write_text("7:1 0 7:2 no 7\n"), r"x.txt:1: expected qid, 0, did"),
    ],
)
def test_another_form_of_mbeir_is_named(change, said, tmp_path):
    folder = write_mbeir(tmp_path / "release")
    change(folder)
    with pytest.raises(ReleaseError, match=said):
        build_dataset(folder, tmp_path / "out", release_format="mbeir", progress=False)


def test_another_form_of_mmeb_is_named(tmp_path):
    folder = write_mmeb(tmp_path / "release")
    table = pq.read_table(folder / "VOC/test-00000-of-00001.parquet")
    short = table.set_column(2, "tgt_text", pa.array([["a cat"]]))
    pq.write_table(short, folder / "VOC/test-00000-of-00001.parquet")
    with pytest.raises(ReleaseError, match="1 texts and 3 images of candidates"):
        mmeb.find_release(folder)
    pq.write_table(table.drop_columns("tgt_text"), folder / "VOC/test-00000-of-00001.parquet")
    with pytest.raises(ReleaseError, match="no column tgt_text"):
        mmeb.find_release(folder)
    (tmp_path / "empty").mkdir()
    for find in (mmeb.find_release, mbeir.find_release):
        with pytest.raises(UsageError, match="no such folder"):
            find(tmp_path / "nowhere")
        with pytest.raises(UsageError, match="--encoding gb18030"):
            find(folder, "gb18030")
        with pytest.raises(ReleaseError, match=r"no subset|no query/test"):
            find(tmp_path / "empty")
