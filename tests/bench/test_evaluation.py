"""`evaluate` takes embeddings as people hold them, and gives what the command gives."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from rope.bench.evaluation import evaluate
from rope.bench.io.given import embeddings_of, name_of
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.bench.one_shot import Draws
from rope.bench.stats.query_ranks import load_ranks
from rope.errors import EmbeddingError, FileError, RopeError, UsageError

ROOT = Path(__file__).parents[2]


class Stream:
    """A table of no library that we know, as Arrow's C stream alone."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def arrays(embeddings):
    return {domain: (rows.sample_ids, rows.vectors) for domain, rows in read_embeddings([embeddings]).items()}


def shuffled(embeddings):
    rng, found = np.random.default_rng(0), {}
    for domain, (ids, vectors) in reversed(arrays(embeddings).items()):
        order = rng.permutation(len(ids))
        found[domain] = ([ids[i] for i in order], vectors[order])
    return found


def tensors(embeddings):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return {d: (ids, torch.tensor(v, requires_grad=True)) for d, (ids, v) in arrays(embeddings).items()}


def rows_of_tensors(embeddings):
    return {domain: (torch_ids, [*vectors]) for domain, (torch_ids, vectors) in tensors(embeddings).items()}


def frame(embeddings):
    rows = [(d, i, v) for d, (ids, vectors) in arrays(embeddings).items() for i, v in zip(ids, vectors, strict=True)]
    found = pd.DataFrame(rows, columns=["domain", "sample_id", "embedding"])
    return found.assign(domain=found["domain"].astype("category"), picture=[object()] * len(found))


FORMS = {
    "path": lambda path: path,
    "text": str,
    "list of paths": lambda path: [str(path)],
    "arrays": arrays,
    "another order": shuffled,
    "ids in an array": lambda path: {d: (np.array(ids), v) for d, (ids, v) in arrays(path).items()},
    "Fortran order": lambda path: {d: (tuple(ids), np.asfortranarray(v)) for d, (ids, v) in arrays(path).items()},
    "lists": lambda path: {d: (ids, v.tolist()) for d, (ids, v) in arrays(path).items()},
    "float64": lambda path: {d: (pd.Series(ids), v.astype(float)) for d, (ids, v) in arrays(path).items()},
    "big-endian": lambda path: {d: (ids, v.astype(">f4")) for d, (ids, v) in arrays(path).items()},
    "columns of a table": lambda path: {d: (f["sample_id"], f["embedding"]) for d, f in frame(path).groupby("domain")},
    "tensors": tensors,
    "rows of tensors": rows_of_tensors,
    "records": lambda path: read_embeddings([path]),
    "pandas": frame,
    "pyarrow": pq.read_table,
    "pyarrow in pieces": lambda path: pa.concat_tables([pq.read_table(path).slice(0, 5), pq.read_table(path).slice(5)]),
    "a stream of Arrow": lambda path: Stream(pq.read_table(path)),
}


@pytest.fixture(scope="module")
def of_file(dataset, embeddings):
    return evaluate(embeddings, dataset)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_numbers_of_the_file(form, dataset, embeddings, of_file):
    found, expected = evaluate(FORMS[form](embeddings), dataset).to_dict(), of_file.to_dict()
    for told in (found, expected):
        del told["model"], told["harness"]["n_rechecked"]
        for note in told["embeddings"].values():
            del note["stored_dtype"]
    assert found == expected


def test_polars_is_read_by_its_stream_of_arrow(dataset, embeddings, of_file):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    table = polars.read_parquet(embeddings)
    assert evaluate(table, dataset).pairs == of_file.pairs
    columns = {d: (rows["sample_id"], rows["embedding"]) for (d,), rows in table.group_by("domain")}
    assert evaluate(columns, dataset).pairs == of_file.pairs


def test_narrow_numbers_are_named_and_widened(dataset, embeddings):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    given = {d: (ids, torch.tensor(v).bfloat16()) for d, (ids, v) in arrays(embeddings).items()}
    widened = {d: (ids, v.float().numpy()) for d, (ids, v) in given.items()}
    narrow = evaluate(given, dataset)
    assert narrow.pairs == evaluate(widened, dataset).pairs
    assert narrow.provenance.embeddings["page"].stored_dtype == "bfloat16"
    half = evaluate({d: (ids, v.astype(np.float16)) for d, (ids, v) in arrays(embeddings).items()}, dataset)
    assert half.provenance.embeddings["live"].stored_dtype == "float16"


def test_tensors_of_other_kinds():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    (eight,) = embeddings_of({"page": ([1, 2], torch.eye(2).to(torch.float8_e4m3fn))}, ["page"]).values()
    assert (eight.vectors.tolist(), eight.stored_dtype) == ([[1, 0], [0, 1]], "float8_e4m3fn")
    for odd in (torch.eye(2).to_sparse(), torch.eye(2, device="meta"), [torch.eye(2), torch.eye(3)]):
        with pytest.raises(EmbeddingError, match="embeddings of page: not an array"):
            embeddings_of({"page": ([1, 2], odd)}, ["page"])
    with pytest.raises(EmbeddingError, match="type int8, expected floats"):
        embeddings_of({"page": ([1, 2], torch.eye(2).to(torch.int8))}, ["page"])


def test_the_library_and_the_command_write_the_same_bytes(rope_bench, dataset, embeddings, tmp_path):
    words = ["--name", "a model", "--training-seed", 3, "--seed", 7, "--trials", 5, "--shots", 2]
    assert rope_bench("score", embeddings, "--data", dataset, *words, "--json", tmp_path / "a" / "r.json")[0] == 0
    report = evaluate(arrays(embeddings), dataset, name="a model", training_seed=3, draws=Draws(7, 5, 2))
    assert report.save(tmp_path / "b" / "r.json") == tmp_path / "b" / "r.ranks.parquet"
    for name in ("r.json", "r.ranks.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_str_is_what_the_terminal_shows(rope_bench, dataset, embeddings, of_file):
    shown = "\n".join(line.rstrip() for line in rope_bench("score", embeddings, "--data", dataset)[1].splitlines())
    assert str(of_file) == shown
    quick = "\n".join(
        line.rstrip() for line in rope_bench("score", embeddings, "--data", dataset, "--quick")[1].splitlines()
    )
    assert str(evaluate(embeddings, dataset, quick=True)) == quick


def test_a_report_says_its_numbers(of_file, tmp_path):
    plain = of_file.to_dict()
    assert json.loads(of_file.to_json()) == plain
    assert of_file.headline == plain["headline"]["value"]
    assert list(of_file.ci95) == plain["headline"]["ci95"]
    assert of_file.pairs["P2V"]["R@1"] == plain["pairs"]["P2V"]["R@1"] == of_file.score.pairs["P2V"].micro.hit_rate[1]
    assert of_file.one_shot["P2V"]["expected"] == plain["one_shot"]["P2V"]["expected"]
    assert plain["ranks"] is None
    of_file.save(str(tmp_path / "r.json"))
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) | {"ranks": None} == plain
    assert load_ranks(tmp_path / "r.json").pairs.keys() == of_file.ranks.pairs.keys()


def test_pandas_has_a_row_a_pair(of_file):
    rows = of_file.to_pandas().set_index("pair")
    assert list(rows.index) == list(of_file.pairs)
    assert rows.loc["V2L", "R@5"] == of_file.pairs["V2L"]["R@5"]
    assert (rows.loc["P2V", "R@1_low"], rows.loc["P2V", "R@1_high"]) == tuple(of_file.pairs["P2V"]["ci95"]["R@1"])
    assert rows.loc["P2V", "one_shot"] == of_file.one_shot["P2V"]["expected"]
    assert pd.isna(rows.loc["P2P", "one_shot"])


def test_a_notebook_shows_the_tables(of_file, dataset, embeddings):
    html = of_file._repr_html_()
    assert html.count("<table>") == 2
    assert f"{100 * of_file.headline:.2f}" in html
    strange = evaluate(embeddings, dataset, name="<b>x</b>")._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt;" in strange


def test_names_with_brackets_are_shown_as_they_are(rope_bench, dataset, embeddings, tmp_path):
    for name in ("[bold]", "[/x]", "run[12]"):
        code, out, _ = rope_bench(
            "score", embeddings, "--data", dataset, "--name", name, "--json", tmp_path / "[a].json"
        )
        assert (code, out.startswith(f"{name} on ")) == (0, True)
        assert "[a].json" in out.replace("\n", "")
        for quick in (True, False):
            report = evaluate(embeddings, dataset, name=name, quick=quick)
            assert str(report).startswith(f"{name} on ")
            assert f"<p>{name} on " in report._repr_html_()


def test_a_quick_report_says_that_it_is_one(dataset, embeddings, of_file, tmp_path):
    quick = evaluate(arrays(embeddings), dataset, quick=True, name="m")
    told = quick.to_dict()
    assert told["quick"] is True
    assert (told["headline"]["value"], quick.headline) == (of_file.headline, of_file.headline)
    assert quick.metrics()["P2V/R@1"] == told["pairs"]["P2V"]["R@1"] == of_file.pairs["P2V"]["R@1"]
    assert quick.metrics()["R@1"] == of_file.headline
    assert not any("n_queries" in name for name in quick.metrics())
    assert len(quick.to_pandas()) == 6
    with pytest.raises(UsageError, match="quick score is not a result to keep"):
        quick.save(tmp_path / "r.json")
    (tmp_path / "q.json").write_text(quick.to_json(), "utf-8")
    with pytest.raises(UsageError, match="names no file of ranks"):
        load_ranks(tmp_path / "q.json")


def with_page(change):
    return lambda given: {**given, "page": change(*given["page"])}


def masked(ids, vectors):
    mask = np.zeros_like(vectors, bool)
    mask[0, 0] = True
    return ids, np.ma.array(vectors, mask=mask)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda given: 3, UsageError, "embeddings of type int: expected a mapping"),
        (lambda given: [], UsageError, "embeddings of type list"),
        (lambda given: given["page"][1], UsageError, "embeddings of type ndarray"),
        (lambda given: {"pages": given["page"]}, UsageError, "'pages': the domains are page, video or live"),
        (lambda given: {"page": given["page"]}, EmbeddingError, "video: no embeddings"),
        (with_page(lambda ids, vectors: vectors), UsageError, "expected \\(ids, array\\), got ndarray"),
        (
            with_page(lambda ids, vectors: (ids[1:], vectors)),
            EmbeddingError,
            r"an array \(12, \d+\), expected \[11, dim",
        ),
        (with_page(lambda ids, vectors: (ids, vectors[0])), EmbeddingError, r"expected \[12, dim\]"),
        (with_page(lambda ids, vectors: (ids, vectors[:, None])), EmbeddingError, r"expected \[12, dim\]"),
        (with_page(lambda ids, vectors: (ids, [v[: i + 1] for i, v in enumerate(vectors)])), EmbeddingError, "not an"),
        (with_page(lambda ids, vectors: (ids, vectors.astype(int))), EmbeddingError, "type int64, expected floats"),
        (with_page(lambda ids, vectors: (ids, vectors.astype(complex))), EmbeddingError, "complex128"),
        (with_page(lambda ids, vectors: (ids, vectors.astype(object))), EmbeddingError, "type object"),
        (with_page(masked), EmbeddingError, "masked"),
        (with_page(lambda ids, vectors: (set(ids), vectors)), UsageError, "ids of page: a set, expected a list"),
        (with_page(lambda ids, vectors: ("abc", vectors)), UsageError, "ids of page: a str"),
        (with_page(lambda ids, vectors: (np.array("abc"), vectors)), UsageError, "ids of page: a ndarray"),
        (with_page(lambda ids, vectors: (3, vectors)), UsageError, "ids of page: a int"),
        (with_page(lambda ids, vectors: (pd.DataFrame({"a": ids}), vectors)), UsageError, "ids of page: a DataFrame"),
        (with_page(lambda ids, vectors: (dict.fromkeys(ids), vectors)), UsageError, "ids of page: a dict"),
        (with_page(lambda ids, vectors: (ids, scipy.sparse.csr_matrix(vectors))), EmbeddingError, "type object"),
        (with_page(lambda ids, vectors: (np.arange(12.0), vectors)), UsageError, "is a float"),
        (with_page(lambda ids, vectors: ([None, *ids[1:]], vectors)), UsageError, "None is a NoneType"),
        (with_page(lambda ids, vectors: ([True, *ids[1:]], vectors)), UsageError, "True is a bool"),
        (with_page(lambda ids, vectors: ([*ids[1:], "nobody"], vectors)), EmbeddingError, "does not have: 'nob"),
        (with_page(lambda ids, vectors: (ids, vectors * np.nan)), EmbeddingError, "NaN or infinity"),
    ],
)
def test_what_is_wrong_is_one_sentence(change, kind, words, dataset, embeddings):
    with pytest.raises(kind, match=words):
        evaluate(change(arrays(embeddings)), dataset)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop(columns="sample_id"), "the table of embeddings: no column sample_id; it has domain"),
        (lambda table: table.assign(domain="pages"), "row 1: domain 'pages', expected page, video or live"),
        (
            lambda table: table.assign(embedding=[[1.0]] + [[1.0, 2.0]] * (len(table) - 1)),
            "row 2: 2 numbers, expected 1",
        ),
        (lambda table: table.assign(embedding=[[1.0], "x"] * (len(table) // 2)), "a DataFrame, cannot be read"),
        (lambda table: table.assign(embedding=1.0), "expected lists of float"),
        (lambda table: table.assign(sample_id=None), "sample_id"),
        (lambda table: pd.concat([table, table[["domain"]]], axis=1), "Duplicate column names"),
    ],
)
def test_tables_that_are_wrong_are_too(change, words, dataset, embeddings):
    with pytest.raises(UsageError, match=words):
        evaluate(change(frame(embeddings)), dataset)


def test_the_arrays_given_stay_as_they_are(dataset, embeddings):
    given = shuffled(embeddings)
    before = {domain: (list(ids), vectors.copy()) for domain, (ids, vectors) in given.items()}
    evaluate(given, dataset)
    assert list(given) == list(before)
    for domain, (ids, vectors) in given.items():
        assert ids == before[domain][0]
        np.testing.assert_array_equal(vectors, before[domain][1])


def test_ids_may_be_integers_of_any_library():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for ids in ([7, 12], np.array([7, 12], np.uint8), [*np.array([7, 12])], torch.tensor([7, 12]), pa.array([7, 12])):
        assert embeddings_of({"page": (ids, np.eye(2))}, ["page"])["page"].sample_ids == ["7", "12"]


def test_ids_of_a_library_that_says_to_list():
    class Series:
        def to_list(self):
            return ["a", "b"]

    assert embeddings_of({"page": (Series(), np.eye(2))}, ["page"])["page"].sample_ids == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("out/siglip.parquet", "siglip"),
        (Path("siglip.parquet"), "siglip"),
        (["out/pages.npz", "out/videos.npz"], "pages"),
        ({"page": (["1"], np.ones((1, 2)))}, "embeddings"),
        (pa.table({"domain": ["page"]}), "embeddings"),
    ],
)
def test_a_model_that_nobody_named_is_called_after_its_first_file(given, name):
    assert name_of(given) == name


def test_categories_may_be_of_any_kind_of_strings():
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        names = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.uint32()), pa.array(["page", "video"], kind))
        table = pa.table({"domain": names, "sample_id": pa.array(["a", "b"], kind), "embedding": [[1.0], [2.0]]})
        found = embeddings_of(table, ["page", "video"])
        assert {domain: rows.sample_ids for domain, rows in found.items()} == {"page": ["b"], "video": ["a"]}


def test_int8_rows_of_a_table_meet_their_scales():
    numbers = np.array([[127, -1]], np.int8)
    table = pa.table(
        {
            "domain": ["page"],
            "sample_id": [7],
            "embedding": pa.array([numbers.tobytes()], pa.binary(2)),
            "scale": pa.array([0.5], pa.float32()),
        }
    )
    rows = embeddings_of(table, ["page"])["page"]
    assert (rows.sample_ids, rows.vectors.tolist(), rows.stored_dtype) == (["7"], [[63.5, -0.5]], "int8")


def test_a_dataset_or_file_that_is_not_there_is_said(dataset, embeddings, tmp_path):
    with pytest.raises(RopeError, match="no such directory"):
        evaluate(embeddings, tmp_path / "nowhere")
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(FileError, match="not readable as Parquet"):
        evaluate(tmp_path / "x.parquet", dataset)


def test_names_are_loaded_at_first_use_and_no_module_takes_their_place():
    program = (
        "import sys, rope.bench\n"
        "assert not {'numpy', 'pyarrow', 'rich', 'torch'} & set(sys.modules)\n"
        "import pkgutil\n"
        "modules = {module.name for module in pkgutil.iter_modules(rope.bench.__path__)}\n"
        "assert not modules & set(rope.bench.__all__), modules & set(rope.bench.__all__)\n"
        "for name in rope.bench.__all__: assert callable(getattr(rope.bench, name)) and name in dir(rope.bench)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_but_a_report_composes_a_result():
    """Score, intervals and JSON come together in one place, which commands, library and leaderboard share."""
    composed = {"as_json", "write_ranks", "intervals_of", "ranks_of"}
    found = {}
    for package in ("rope", "baselines", "cope", "leaderboard"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith(
                    ("rope.bench.report", "rope.bench.stats")
                ):
                    names = {alias.name for alias in node.names} & composed
                    if names:
                        found.setdefault(path.relative_to(ROOT).as_posix(), set()).update(names)
    # Ranks that were submitted are checked against the intervals that were submitted, without a score.
    assert found == {"rope/bench/result.py": composed, "leaderboard/verify.py": {"intervals_of"}}


def test_one_run_gives_a_row_for_each_number_of_dimensions(dataset, embeddings, tmp_path, rope_bench):
    rng = np.random.default_rng(0)
    given = {domain: (ids, rng.normal(size=(len(ids), 16))) for domain, (ids, _) in arrays(embeddings).items()}
    write_embeddings(tmp_path / "e.parquet", given)
    words = ["--dims", "4, 8,full", "--json", tmp_path / "r.json"]
    code, text, _ = rope_bench("score", tmp_path / "e.parquet", "--data", dataset, *words)
    assert (code, text.count("R@k: queries with a positive")) == (0, 3)
    files = {n: tmp_path / f"r.{n}.json" for n in ("4", "8", "full")}
    results = {n: json.loads(file.read_text("utf-8")) for n, file in files.items()}
    for n in (4, 8):
        short = {domain: (ids, vectors[:, :n].copy()) for domain, (ids, vectors) in given.items()}
        assert evaluate(short, dataset).to_dict()["pairs"] == results[str(n)]["pairs"]
        note = results[str(n)]["embeddings"]["page"]
        assert (note["dim"], note["cut_from"], results[str(n)]["model"]) == (n, 16, f"e@{n}")
        assert load_ranks(files[str(n)]).origin.model == f"e@{n}"
    whole = evaluate(tmp_path / "e.parquet", dataset).to_dict()
    assert results["full"] == whole | {"ranks": results["full"]["ranks"]}


@pytest.mark.parametrize(
    ("dims", "expected"),
    [("0", "expected positive numbers or full"), ("8,8", "each number once"), ("100000", "expected fewer")],
)
def test_dims_that_make_no_sense_are_refused(dims, expected, dataset, embeddings, rope_bench):
    code, _, err = rope_bench("score", embeddings, "--data", dataset, "--dims", dims)
    assert (code, expected in err) == (2, True)


def test_several_results_do_not_go_to_stdout(dataset, embeddings, rope_bench):
    code, out, err = rope_bench("score", embeddings, "--data", dataset, "--dims", "8,full", "--json", "-")
    assert (code, out) == (2, "")
    assert "stdout holds one result" in err


@pytest.mark.parametrize("quick", [False, True])
def test_csv_holds_a_row_for_each_cut_and_pair(quick, dataset, embeddings, tmp_path, rope_bench):
    rng = np.random.default_rng(0)
    given = {domain: (ids, rng.normal(size=(len(ids), 16))) for domain, (ids, _) in arrays(embeddings).items()}
    write_embeddings(tmp_path / "e.parquet", given)
    words = ["--dims", "4,full", "--csv", tmp_path / "r.csv", *(["--quick"] if quick else [])]
    assert rope_bench("score", tmp_path / "e.parquet", "--data", dataset, *words)[0] == 0
    found = pd.read_csv(tmp_path / "r.csv")
    expected = [evaluate(tmp_path / "e.parquet", dataset, dims=dims, quick=quick) for dims in (4, None)]
    assert found["model"].unique().tolist() == ["e@4", "e"]
    assert found["pair"].tolist() == [name for report in expected for name in report.pairs]
    for column in ("R@1", "MRR"):
        values = [pair[column] for report in expected for pair in report.pairs.values()]
        assert found[column].tolist() == pytest.approx(values, nan_ok=True, abs=0)
    frame = pd.concat([report.to_pandas() for report in expected])
    assert frame.columns.tolist() == found.columns.tolist()
