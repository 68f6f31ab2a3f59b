"""What is asked of results gives the same from Python and from the command."""

import json

import numpy as np
import pytest

import rope.bench
from rope.bench.attributes.score import Settings
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.bench.recommend.report import RecommendOptions
from rope.dataset.directory import read_labels, read_products
from rope.domain import DOMAINS
from rope.errors import UsageError


@pytest.fixture(scope="module")
def reports(dataset, embeddings):
    """The baseline twice, once with noise on its pages."""
    given = {domain: (rows.sample_ids, rows.vectors) for domain, rows in read_embeddings([embeddings]).items()}
    ids, vectors = given["page"]
    noisy = {**given, "page": (ids, vectors + np.random.default_rng(0).normal(size=vectors.shape))}
    return [rope.bench.evaluate(one, dataset, name=name) for name, one in (("plain", given), ("noisy", noisy))]


def shown(out):
    return "\n".join(line.rstrip() for line in out.splitlines())


def test_compare(rope_bench, reports, tmp_path):
    files = [tmp_path / f"{report.provenance.model}.json" for report in reports]
    for report, file in zip(reports, files, strict=True):
        report.save(file)
    code, out, _ = rope_bench("compare", *files, "--metric", "mAP", "--json", tmp_path / "c.json")
    assert code == 0
    answer = rope.bench.compare([files[0], str(files[1])], "mAP")
    answer.save(tmp_path / "d.json")
    assert (tmp_path / "c.json").read_bytes() == (tmp_path / "d.json").read_bytes()
    assert str(answer) in shown(out)
    assert "<table>" in answer._repr_html_()
    in_memory = rope.bench.compare(reports, "mAP").to_dict()
    assert in_memory["differences"] == answer.to_dict()["differences"]
    assert [run["file"] for one in in_memory["standings"] for run in one["runs"]] == [None, None]


def test_training_runs_are_compared_by_the_name_of_their_model(dataset, reports, tmp_path):
    again = rope.bench.evaluate(
        {d: (r.sample_ids, r.vectors + 0.01) for d, r in shifted(reports, dataset).items()}, dataset, training_seed=1
    )
    comparison = rope.bench.compare({"one": [reports[0], again], "other": [reports[1]]}).value
    assert {standing.model: len(standing.runs) for standing in comparison.standings} == {"one": 2, "other": 1}
    with pytest.raises(UsageError, match="one: no results"):
        rope.bench.compare({"one": [], "other": [reports[1]]})
    with pytest.raises(UsageError, match="at least two models, got 1"):
        rope.bench.compare([reports[0]])


def shifted(reports, dataset):
    return read_embeddings([dataset.parent / "embeddings.parquet"])


@pytest.mark.parametrize("question", ["slices", "tail"])
def test_parts(question, rope_bench, dataset, reports, tmp_path):
    reports[0].save(tmp_path / "r.json")
    words = [tmp_path / "r.json", "--data", dataset, "--pair", "P2V"]
    code, out, _ = rope_bench(question, *words, "--json", tmp_path / "a.json")
    assert code == 0
    answer = getattr(rope.bench, question)(reports[0], dataset, pair="P2V")
    assert str(answer) in shown(out)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == json.loads(answer.to_json())
    with pytest.raises(UsageError, match="expected one of mean, P2V"):
        getattr(rope.bench, question)(reports[0], dataset, pair="P2X")


def test_diagnose(rope_bench, dataset, embeddings, tmp_path):
    rng, file = np.random.default_rng(0), tmp_path / "few.parquet"
    few = {d: (rows.sample_ids, rng.normal(size=(12, 4))) for d, rows in read_embeddings([embeddings]).items()}
    write_embeddings(file, few)
    wanted = ["--json", tmp_path / "a.json", "--html", tmp_path / "a.html"]
    code, out, _ = rope_bench("doctor", file, "--data", dataset, *wanted)
    assert code == 0
    answer = rope.bench.diagnose(few, dataset, name="few")
    answer.save(tmp_path / "b.json")
    answer.save_page(str(tmp_path / "b.html"))
    assert str(answer) in shown(out)
    for name in ("json", "html"):
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


def test_a_map_takes_arrays(dataset, embeddings):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    given = {domain: (rows.sample_ids, rows.vectors) for domain, rows in read_embeddings([embeddings]).items()}
    figure = rope.bench.draw_map(given, dataset, products=2)
    assert {points.get_gid() for points in figure.axes[0].collections} == set(DOMAINS)


def made_up(data, folder, *domains):
    """Random vectors of some domains, in a file and in memory; both are float32."""
    rng, labels = np.random.default_rng(0), read_labels(data, "validation")
    given = {
        domain: (rows.sample_ids, rng.normal(size=(len(rows.sample_ids), 4)).astype(np.float32))
        for domain, rows in labels.items()
        if domain in domains
    }
    write_embeddings(folder / "made_up.parquet", given)
    return folder / "made_up.parquet", given


def test_an_attribute_is_predicted_from_arrays(rope_bench, four_domains, tmp_path):
    file, given = made_up(four_domains, tmp_path, "page", "video", "live", "review")
    products = [*read_products(four_domains, "validation")]
    lines = [f"{product},{'ab'[i % 2]}" for i, product in enumerate(products)]
    (tmp_path / "kinds.csv").write_text("product_id,kind\n" + "\n".join(lines) + "\n", "utf-8")
    words = ["--labels", tmp_path / "kinds.csv", "--column", "kind", "--folds", 2, "--trials", 3, "--shots", 1]
    options = ["--data", four_domains, "--name", "m", "--json", tmp_path / "a.json"]
    code, out, err = rope_bench("attributes", file, *words, *options)
    assert code == 0, err
    settings = Settings(seed=0, folds=2, shots=(1,), draws=3)
    labels = tmp_path / "kinds.csv"
    answer = rope.bench.predict_attribute(given, "kind", four_domains, labels=labels, settings=settings, name="m")
    answer.save(tmp_path / "b.json")
    assert str(answer) in shown(out)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_recommendations_are_scored_from_arrays(rope_bench, four_domains, tmp_path):
    file, given = made_up(four_domains, tmp_path, "page")
    ids = given["page"][0]
    rows = [f"u{user},{ids[(user + 2 * step) % len(ids)]},{step}" for user in range(6) for step in range(4)]
    (tmp_path / "taken.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n", "utf-8")
    words = ["--interactions", tmp_path / "taken.csv", "--name", "m", "--json", tmp_path / "a.json"]
    code, out, err = rope_bench("recommend", file, *words)
    assert code == 0, err
    answer = rope.bench.score_recommendations(given, tmp_path / "taken.csv", options=RecommendOptions(model="m"))
    answer.save(tmp_path / "b.json")
    assert str(answer) in shown(out)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
