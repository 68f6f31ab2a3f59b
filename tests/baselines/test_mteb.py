"""Both adapters of mteb; all but the first test need mteb itself."""

import importlib.util
import io
from dataclasses import replace

import numpy as np
import pytest

from baselines import mteb_model
from baselines.mteb_tasks import HIT_RATES, mteb_tasks, relevant_documents, task_name
from rope.bench.evaluation import evaluate
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.bench.quick import quick_score
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.running.embedder import has_roles
from rope.bench.running.run import run_embedder
from rope.dataset.build import build_dataset
from rope.dataset.directory import SampleLabels, iter_samples, read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DOMAINS, Pair, pair_of
from rope.errors import UsageError
from rope.media import decode_frames
from rope.synthetic.release import write_release
from tests.baselines.samples import samples
from tests.bench.running.test_run import write_dataset

INSTALLED = importlib.util.find_spec("mteb") is not None
needs_mteb = pytest.mark.skipif(not INSTALLED, reason="mteb is not installed")
ignore_its_warnings = pytest.mark.filterwarnings("ignore")
RANDOM = "mteb/baseline-random-encoder"


@pytest.mark.skipif(INSTALLED, reason="mteb is installed")
def test_the_missing_package_is_named(tmp_path):
    for call in (lambda: mteb_model.embedder(RANDOM), lambda: mteb_tasks(tmp_path)):
        with pytest.raises(UsageError, match=r"pip install 'rope-bench\[mteb\]'"):
            call()


def test_a_query_without_a_positive_is_not_asked():
    queries, gallery = SampleLabels(["1", "2", "3"], ["a", "b", "c"]), SampleLabels(["1", "8", "9"], ["c", "a", "a"])
    assert relevant_documents(queries, gallery) == {"1": {"8": 1, "9": 1}, "3": {"1": 1}}


def test_the_name_of_a_task_says_which_dataset_split_and_images_it_is_of(tmp_path):
    manifest = read_manifest(write_dataset(tmp_path / "data"))
    shards = {name: replace(shard, sha256="other images") for name, shard in manifest.shards.items()}
    others = [manifest, replace(manifest, fingerprint="d1"), replace(manifest, shards=shards)]
    names = [task_name(Pair("page", "video"), one, "validation") for one in others]
    names.append(task_name(Pair("page", "video"), manifest, "train"))
    names.append(task_name(Pair("page", "video"), manifest, "train", "frame"))
    assert names[0].startswith("RopeVideoP2V-d0-")
    assert names[-1].startswith("RopeP2V-d0-")
    assert len(set(names)) == 5


@needs_mteb
@ignore_its_warnings
def test_results_that_mteb_keeps_of_a_dataset_are_not_those_of_another(data, tmp_path, monkeypatch):
    import datasets
    import mteb

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    meta = mteb.get_model_meta(RANDOM).model_copy(update={"name": "rope/texts", "revision": "1"})
    monkeypatch.setattr(Texts, "mteb_model_meta", meta)
    other = write_dataset(tmp_path / "other", counts={"page": 24, "video": 20, "live": 9}, fingerprint="other")
    pairs, kept = [Pair("page", "video")], mteb.ResultCache(tmp_path / "results")

    def score(directory, cache):
        tasks = mteb_tasks(directory, pairs=pairs, media="frame")
        (found,) = mteb.evaluate(Texts(), tasks, cache=cache, show_progress_bar=False).task_results
        return found.dataset_revision, found.scores["validation"][0]["hit_rate_at_1"]

    first, second = score(data, kept), score(other, kept)
    assert (first[0], second[0]) == ("d0", "other")
    assert second == score(other, None) != first
    assert score(data, kept) == first


@needs_mteb
@ignore_its_warnings
def test_a_model_of_mteb_is_an_embedder():
    model = mteb_model.embedder(RANDOM, device="cpu")
    given = samples("video", 3, n_frames=2)
    rows = model.embed(given)
    assert rows.shape == (3, 32)
    assert np.allclose(rows, np.concatenate([model.embed([sample]) for sample in given]), atol=1e-6)
    assert len({model.fingerprint, mteb_model.embedder(RANDOM, device="cpu", frames="3").fingerprint}) == 2


@needs_mteb
@ignore_its_warnings
def test_what_mteb_cannot_give_is_refused():
    with pytest.raises(UsageError, match="chooses its own"):
        mteb_model.embedder(RANDOM, precision="bf16")
    with pytest.raises(UsageError, match="no-such/model-of-anybody: mteb cannot load it"):
        mteb_model.embedder("no-such/model-of-anybody")


class Texts:
    """Vectors that a sample's text decides, with what mteb asks of an encoder."""

    mteb_model_meta = None

    def __init__(self, model_name="texts", revision=None, device=None):
        pass

    def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **_):
        assert set(inputs.dataset.features) >= {"text", "image"}
        return vectors([text for batch in inputs for text in batch["text"]])

    def similarity(self, first, second):
        unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)]
        return unit[0] @ unit[1].T

    def similarity_pairwise(self, first, second):
        return np.diag(self.similarity(first, second))


def vectors(texts):
    """A noisy vector of the product, which is half the sample's number."""
    rows = []
    for text in texts:
        domain, number = text.split()
        noise = np.random.default_rng([DOMAINS.index(domain), int(number)]).normal(size=8)
        rows.append(np.random.default_rng(int(number) // 2).normal(size=8) + 0.9 * noise)
    return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@needs_mteb
@ignore_its_warnings
def test_hit_rates_of_mteb_are_the_recalls_of_this_project(data, tmp_path, monkeypatch):
    import datasets
    import mteb

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    model, tasks = Texts(), mteb_tasks(data, media="frame")
    meta = mteb.get_model_meta(RANDOM).model_copy(update={"name": "rope/texts"})
    monkeypatch.setattr(Texts, "mteb_model_meta", meta)
    result = mteb.evaluate(model, tasks, cache=None, show_progress_bar=False)
    found = {task.task_name: task.scores["validation"][0] for task in result.task_results}
    manifest = read_manifest(data)
    ours = quick_score(our_vectors(data, tmp_path), read_labels(data, "validation"), ComputeSettings()).pairs
    expected = {
        task_name(pair_of(name), manifest, "validation", "frame"): [pair.hit_rate[k] for k in HIT_RATES]
        for name, pair in ours.items()
    }
    assert sorted(found) == sorted(expected)
    for name, rates in expected.items():
        assert [found[name][f"hit_rate_at_{k}"] for k in HIT_RATES] == pytest.approx(rates, abs=1e-5)
    assert 0 < min(rates[0] for rates in expected.values()) < 1


def our_vectors(data, folder):
    given = {}
    for domain in DOMAINS:
        found = [sample for batch in iter_samples(data, domain, "validation", batch_size=64) for sample in batch]
        given[domain] = ([sample.sample_id for sample in found], vectors([sample.text for sample in found]))
    write_embeddings(folder / "e.parquet", given)
    return read_embeddings([folder / "e.parquet"])


@needs_mteb
@ignore_its_warnings
def test_a_task_shows_the_middle_frame_and_an_empty_text_for_none(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    given = [*samples("video", 1, n_frames=3), *samples("video", 1, text=None, seed=1)]
    monkeypatch.setattr("baselines.mteb_tasks.iter_samples", lambda *_, **__: iter([given]))
    rows = query_rows(tmp_path)
    assert rows["text"] == [given[0].text, ""]
    for image, sample in zip(rows["image"], given, strict=True):
        assert np.array_equal(np.asarray(image), decode_frames(sample, 1)[0])


def query_rows(folder):
    data = write_dataset(folder / "data", fingerprint="two rows")
    (task,) = mteb_tasks(data, pairs=[Pair("video", "page")], media="frame")
    task.load_data()
    return task.dataset["default"]["validation"]["queries"]


class WholeVideos:
    """A model of texts and all frames of a video, by role, for mteb and for a run."""

    name, fingerprint, mteb_model_meta, model_prompts = "whole", "1", None, None

    def embed(self, given, role="gallery"):
        return self.vectors([(sample.text or "", decode_frames(sample, len(sample.frames))) for sample in given], role)

    def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **_):
        import datasets

        rows = inputs.dataset
        if "video" in rows.features:
            files = rows.cast_column("video", datasets.Video(decode=False))["video"]
            frames = [[*whole_video(file["bytes"])] for file in files]
        else:
            frames = [[np.asarray(image.convert("RGB"))] for image in rows["image"]]
        role = "query" if prompt_type is not None and prompt_type.value == "query" else "gallery"
        return self.vectors([*zip(rows["text"], frames, strict=True)], role)

    def vectors(self, given, role):
        rows = []
        for text, frames in given:
            turn = sum((i + 1) * np.sin(frame.astype(float)).sum(axis=(0, 1)) for i, frame in enumerate(frames))
            rows.append([len(text) / 9, *(turn / 40), 3.0 * (role == "query"), 1.0])
        return np.array(rows, np.float32)

    similarity, similarity_pairwise = Texts.similarity, Texts.similarity_pairwise


def whole_video(file):
    import av

    with av.open(io.BytesIO(file)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


@needs_mteb
@ignore_its_warnings
def test_a_model_of_whole_videos_has_the_same_numbers_in_mteb_and_in_a_run(tmp_path, monkeypatch):
    import mteb

    pytest.importorskip("av", reason="PyAV is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = synthetic(tmp_path)
    counts = [len(one.frames) for batch in iter_samples(data, "video", "validation", batch_size=9) for one in batch]
    assert max(counts) > 1
    meta = mteb.get_model_meta(RANDOM).model_copy(update={"name": "rope/whole"})
    monkeypatch.setattr(WholeVideos, "mteb_model_meta", meta)
    result = mteb.evaluate(WholeVideos(), mteb_tasks(data), cache=None, show_progress_bar=False)
    found = {task.task_name: task.scores["validation"][0] for task in result.task_results}
    out = run_embedder(WholeVideos(), data, tmp_path / "e.parquet", progress=False)
    manifest, ours = read_manifest(data), evaluate(out, data, quick=True).pairs
    for name, pair in ours.items():
        rates = found[task_name(pair_of(name), manifest, "validation")]
        expected = [pair[f"R@{k}"] for k in HIT_RATES]
        assert [rates[f"hit_rate_at_{k}"] for k in HIT_RATES] == pytest.approx(expected, abs=1e-5)
    assert 0 < min(pair["R@5"] for pair in ours.values()) < 1


def synthetic(folder):
    given = {"products": 12, "seed": 0, "validation_share": 0.5, "mp4": False, "workers": 1, "progress": False}
    write_release(folder / "release", **given)
    build_dataset(folder / "release", folder / "data", progress=False)
    return folder / "data"


@needs_mteb
@ignore_its_warnings
def test_a_task_shows_all_frames_without_loss(tmp_path, monkeypatch):
    import datasets

    pytest.importorskip("av", reason="PyAV is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    given = samples("video", 2, n_frames=3)
    monkeypatch.setattr("baselines.mteb_tasks.iter_samples", lambda *_, **__: iter([given]))
    data = write_dataset(tmp_path / "data", fingerprint="two rows")
    (task,) = mteb_tasks(data, pairs=[Pair("video", "page")])
    task.load_data()
    rows = task.dataset["default"]["validation"]["queries"].cast_column("video", datasets.Video(decode=False))
    for file, sample in zip(rows["video"], given, strict=True):
        assert np.array_equal([*whole_video(file["bytes"])], decode_frames(sample, 3))


@needs_mteb
def test_a_pair_of_one_domain_is_refused(data):
    with pytest.raises(UsageError, match="cannot leave a query out"):
        mteb_tasks(data, pairs=[Pair("page", "page")])


@needs_mteb
@ignore_its_warnings
def test_an_mteb_model_runs_over_a_dataset(data, tmp_path):
    model = mteb_model.embedder(RANDOM, device="cpu", text_weight="1")
    out = run_embedder(model, data, tmp_path / "e.parquet", progress=False)
    assert {len(rows.sample_ids) for rows in read_embeddings([out]).values()} == {70, 33, 17}


class TextsInRoles(Texts):
    """Other vectors as queries, by the type of the prompt."""

    model_prompts = {"query": "find: "}  # noqa: RUF012

    def encode(self, inputs, *, prompt_type=None, **asked):
        rows = vectors([text for batch in inputs for text in batch["text"]])
        return rows + (np.arange(8) % 3 - 1) * (prompt_type is not None and prompt_type.value == "query")


@needs_mteb
@ignore_its_warnings
def test_a_model_with_roles_has_the_same_numbers_in_mteb_and_in_a_run(data, tmp_path, monkeypatch):
    import datasets
    import mteb

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    meta = mteb.get_model_meta(RANDOM).model_copy(update={"name": "rope/roles"})
    monkeypatch.setattr(TextsInRoles, "mteb_model_meta", meta)
    result = mteb.evaluate(TextsInRoles(), mteb_tasks(data, media="frame"), cache=None, show_progress_bar=False)
    found = {task.task_name: task.scores["validation"][0] for task in result.task_results}
    monkeypatch.setattr(mteb, "get_model", lambda *_, **__: TextsInRoles())
    numbers = {}
    for roles in ("auto", "one"):
        model = mteb_model.embedder("rope/roles", device="cpu", text_weight="1", roles=roles)
        assert has_roles(model) == (roles == "auto")
        out = run_embedder(model, data, tmp_path / f"{roles}.parquet", progress=False)
        numbers[roles] = evaluate(out, data, quick=True).pairs
    manifest = read_manifest(data)
    for name, pair in numbers["auto"].items():
        rates = found[task_name(pair_of(name), manifest, "validation", "frame")]
        assert [rates[f"hit_rate_at_{k}"] for k in HIT_RATES] == pytest.approx(
            [pair[f"R@{k}"] for k in HIT_RATES], abs=1e-5
        )
    assert numbers["auto"] != numbers["one"]


@needs_mteb
@ignore_its_warnings
def test_a_late_interaction_model_of_mteb_is_refused(monkeypatch):
    import mteb

    meta = mteb.get_model_meta(RANDOM).model_copy(update={"model_type": ["late-interaction"]})
    monkeypatch.setattr(Texts, "mteb_model_meta", meta)
    monkeypatch.setattr(mteb, "get_model", lambda *_, **__: Texts())
    with pytest.raises(UsageError, match="many vectors of an input, which are never averaged"):
        mteb_model.embedder("rope/late", device="cpu")
