"""A dataset with a domain that ROPE does not have, through every command of the bench."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from rope.bench.cli import app
from rope.bench.io.embeddings import align
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.score import score
from rope.dataset.build import build_dataset
from rope.dataset.directory import read_labels
from rope.errors import EmbeddingError, UsageError
from rope.synthetic.release import write_release

CROSS = ["P2V", "V2P", "P2L", "L2P", "V2L", "L2V"]
CROSS += [f"{a}2{b}" for one in "PVL" for a, b in ((one, "review"), ("review", one))]
WITHIN = ["P2P", "V2V", "L2L", "review2review"]


def run(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def narrow(path, domains):
    """The vectors seen from 16 random sides, in a file next to them: with all dimensions the doctor takes seconds."""
    found = read_embeddings([path], domains)
    sides = np.random.default_rng(0).normal(size=(next(iter(found.values())).vectors.shape[1], 16))
    given = {domain: (rows.sample_ids, rows.vectors @ sides) for domain, rows in found.items()}
    write_embeddings(path.with_name("narrow.parquet"), given)
    return path.with_name("narrow.parquet")


@pytest.fixture(scope="module")
def scored(four_domains, tmp_path_factory):
    """A folder with the embeddings `e.parquet` of the handcrafted floor, and what they score, `r.json`."""
    folder = tmp_path_factory.mktemp("scored")
    run("run", "--model", "baselines:handcrafted", "--data", four_domains, "--out", folder / "e.parquet",
        "--json", folder / "r.json")  # fmt: skip
    return folder


def test_twelve_pairs_are_scored_and_their_mean_is_the_headline(scored):
    result = json.loads((scored / "r.json").read_text("utf-8"))
    schema = json.loads(files("rope.bench").joinpath("result.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(result)
    assert list(result["pairs"]) == CROSS + WITHIN
    assert list(result["one_shot"]) == CROSS
    assert list(result["embeddings"]) == ["page", "video", "live", "review"]
    assert result["headline"]["metric"] == "mean R@1 of the 12 cross-domain pairs of the dataset"
    assert result["headline"]["value"] == pytest.approx(np.mean([result["pairs"][name]["R@1"] for name in CROSS]))


def test_the_pairs_of_three_domains_score_what_they_score_alone(four_domains, scored, tmp_path):
    three = {domain: rows for domain, rows in read_labels(four_domains, "validation").items() if domain != "review"}
    table = pq.read_table(scored / "e.parquet").to_pylist()
    given = {
        domain: (rows.sample_ids, np.array([row["embedding"] for row in table if row["domain"] == domain]))
        for domain, rows in three.items()
    }
    write_embeddings(tmp_path / "e.parquet", given)
    alone = score(align(read_embeddings([tmp_path / "e.parquet"]), three), three, Draws(0), ComputeSettings())
    result = json.loads((scored / "r.json").read_text("utf-8"))
    assert {name: pair.micro.hit_rate[1] for name, pair in alone.pairs.items()} == {
        name: result["pairs"][name]["R@1"] for name in [*CROSS[:6], *WITHIN[:3]]
    }


def test_other_commands_take_the_pairs_that_are_there(four_domains, scored, tmp_path):
    result = scored / "r.json"
    run("score", scored / "e.parquet", "--data", four_domains, "--name", "again", "--json", tmp_path / "o.json")
    assert "mean R@1 of the 12" in run("score", scored / "e.parquet", "--data", four_domains, "--quick")
    compared = json.loads(run("compare", result, tmp_path / "o.json", "--format", "json"))
    assert [one["column"] for one in compared["differences"]] == [*CROSS, "mean"]
    run("slices", result, "--data", four_domains, "--json", tmp_path / "s.json", "--pair", "review2review")
    slices = json.loads((tmp_path / "s.json").read_text("utf-8"))["slices"]
    assert {"review2L", "mean", "review2review"} <= {one["pair"] for one in slices}
    run("tail", result, "--data", four_domains, "--json", tmp_path / "t.json", "--pair", "P2review")
    with pytest.raises(UsageError, match=r"--pair 'P2session': expected one of mean, P2V, .*review2L"):
        run("tail", result, "--data", four_domains, "--pair", "P2session")


def test_the_doctor_looks_at_every_two_and_every_three_domains(four_domains, scored, tmp_path):
    page, found = tmp_path / "d.html", tmp_path / "d.json"
    vectors = narrow(scored / "e.parquet", ["page", "video", "live", "review"])
    run("doctor", vectors, "--data", four_domains, "--html", page, "--json", found)
    retrieval = json.loads(found.read_text("utf-8"))["retrieval"]
    assert list(retrieval["pairs"]) == CROSS
    assert list(retrieval["asymmetry"]) == [name.replace("2", "-") for name in CROSS[::2]]
    assert len(retrieval["triangles"]) == 8
    assert "V→review→L→V" in retrieval["triangles"]
    html = page.read_text("utf-8")
    assert "mean R@1 of the twelve pairs" in html
    assert ".of-review { --tone:" in html


def test_attributes_are_learned_from_it_and_tested_on_it(four_domains, scored, tmp_path):
    labels = ["product_id,colour"]
    products = sorted(set(read_labels(four_domains, "validation")["review"].product_ids), key=int)
    labels += [f"{product},{('red', 'blue')[i % 2]}" for i, product in enumerate(products)]
    (tmp_path / "labels.csv").write_text("\n".join(labels) + "\n", "utf-8")
    pytest.importorskip("torch", reason="the linear probe is fitted with torch")
    run("attributes", scored / "e.parquet", "--data", four_domains, "--labels", tmp_path / "labels.csv", "--column",
        "colour", "--folds", 2, "--json", tmp_path / "a.json")  # fmt: skip
    found = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert set(found["methods"]["linear probe"]["pairs"]) == {*CROSS, *WITHIN}
    assert set(found["methods"]["linear probe"]["means"]) == {"within", "across"}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("clip_review.npy", lambda path: np.save(path, np.eye(2))),
        ("clip_reviews.npy", lambda path: np.save(path, np.eye(2))),
        ("all.npz", lambda path: np.savez(path, review=np.eye(2), review_ids=np.array(["1", "2"]))),
    ],
)
def test_files_are_known_by_the_domains_that_are_asked_for(name, write, tmp_path):
    write(tmp_path / name)
    (tmp_path / f"{name[:-4]}.ids.txt").write_text("1\n2\n")
    found = read_embeddings([tmp_path / name], ["page", "review"])
    assert {domain: rows.sample_ids for domain, rows in found.items()} == {"review": ["1", "2"]}
    with pytest.raises((UsageError, EmbeddingError), match=r"page, video or live|page"):
        read_embeddings([tmp_path / name])


def test_pages_and_videos_alone_have_two_pairs(tmp_path):
    write_release(tmp_path / "r", products=4, seed=2, domains=["page", "video"], mp4=False, workers=1, progress=False)
    build_dataset(tmp_path / "r", tmp_path / "d", progress=False)
    run("run", "--model", "baselines:handcrafted", "--data", tmp_path / "d", "--out", tmp_path / "e.parquet",
        "--split", "train", "--json", tmp_path / "r.json")  # fmt: skip
    assert list(json.loads((tmp_path / "r.json").read_text("utf-8"))["pairs"]) == ["P2V", "V2P", "P2P", "V2V"]
    vectors = narrow(tmp_path / "e.parquet", ["page", "video"])
    run("doctor", vectors, "--data", tmp_path / "d", "--split", "train", "--json", tmp_path / "d.json")
    retrieval = json.loads((tmp_path / "d.json").read_text("utf-8"))["retrieval"]
    assert (list(retrieval["pairs"]), retrieval["triangles"]) == (["P2V", "V2P"], {})


def test_texts_alone_are_embedded_and_scored(tmp_path):
    """Sessions are texts, adverts are pictures with a text, and no domain is one of ROPE's."""
    rows = ["domain,sample_id,product_id,text"]
    (tmp_path / "own" / "sessions").mkdir(parents=True)
    (tmp_path / "own" / "adverts").mkdir()
    for product, colour in enumerate(("red", "green", "blue")):
        rows += [f"session,s{product},{product},a {colour} cup", f"advert,a{product},{product},a {colour} cup"]
        Image.new("RGB", (8, 8), colour).save(tmp_path / "own" / "adverts" / f"a{product}.png")
    (tmp_path / "own" / "samples.csv").write_text("\n".join(rows) + "\n", "utf-8")
    build_dataset(tmp_path / "own", tmp_path / "d", progress=False)
    run("run", "--model", "baselines:handcrafted", "--data", tmp_path / "d", "--out", tmp_path / "e.parquet",
        "--json", tmp_path / "r.json")  # fmt: skip
    pairs = json.loads((tmp_path / "r.json").read_text("utf-8"))["pairs"]
    assert {name: pair["R@1"] for name, pair in pairs.items()} == {
        "advert2session": 1.0,
        "session2advert": 1.0,
        "advert2advert": None,
        "session2session": None,
    }
