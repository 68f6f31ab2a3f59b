import io
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.bench.io.readers import read_embeddings
from rope.bench.running.key import RunKey
from rope.bench.running.run import run_embedder
from rope.dataset.manifest import DatasetManifest, Shard, write_manifest
from rope.domain import CONFIG_OF, DOMAINS
from rope.errors import DatasetError, EmbeddingError, UsageError
from rope.media import decode_frames
from rope.schema import FORMAT_VERSION, SAMPLE_SCHEMA

COUNTS = {"page": 70, "video": 33, "live": 17}
BATCH = 4  # so a part is 32 samples


def write_dataset(directory, *, counts=COUNTS, fingerprint="d0", broken=None, manifest_counts=None):
    """A dataset of one-pixel frames; `broken` is a (domain, row) whose frame is not an image."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    shards = {}
    for domain, n in counts.items():
        rows = [
            {
                "sample_id": f"{i}",
                "product_id": f"{i // 2}",
                "text": f"{domain} {i}",
                "frames": [{"bytes": b"no image" if broken == (domain, i) else buffer.getvalue(), "path": None}],
                "frame_times": [0],
                "category": None,
            }
            for i in range(n)
        ]
        name = f"{CONFIG_OF[domain]}/validation-00000-of-00001.parquet"
        (directory / name).parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, SAMPLE_SCHEMA), directory / name, row_group_size=16)
        shards[name] = Shard(n, (directory / name).stat().st_size, "")
    of_split = {CONFIG_OF[domain]: n for domain, n in (manifest_counts or counts).items()}
    counts_by_split = {"validation": of_split, "train": {}}
    write_manifest(
        directory, DatasetManifest(FORMAT_VERSION, "tiny", {}, "embed", counts_by_split, {}, shards, fingerprint)
    )
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@dataclass
class Model:
    """Vectors that tell every sample apart; remembers what it was asked, and can be made to fail."""

    name: str = "model"
    fingerprint: str = "weights-1"
    stop_after: int = 10**9
    seen: list = field(default_factory=list)

    def embed(self, samples):
        if len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append((samples[0].domain, [sample.sample_id for sample in samples]))
        return np.array([[int(s.sample_id), DOMAINS.index(s.domain), 1] for s in samples], np.float64)


def run(model, data, out, **options):
    return run_embedder(model, data, out, **{"batch_size": BATCH, "progress": False, "check": False, **options})


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The bytes of a run that nothing stopped."""
    return run(Model(), data, tmp_path_factory.mktemp("whole") / "e.parquet").read_bytes()


def test_every_sample_is_embedded_once_in_the_order_of_the_dataset(data, tmp_path):
    model = Model()
    out = run(model, data, tmp_path / "new" / "e.parquet")
    rows = pq.read_table(out).to_pylist()
    assert [(row["domain"], row["sample_id"]) for row in rows] == [
        (d, str(i)) for d in DOMAINS for i in range(COUNTS[d])
    ]
    assert all(row["embedding"] == [int(row["sample_id"]), DOMAINS.index(row["domain"]), 1] for row in rows)
    assert [(d, i) for d, ids in model.seen for i in ids] == [(row["domain"], row["sample_id"]) for row in rows]
    assert {len(ids) for _, ids in model.seen} == {BATCH, 70 % BATCH, 33 % BATCH, 17 % BATCH}
    assert [path.name for path in out.parent.iterdir()] == ["e.parquet"]
    assert len(read_embeddings([out])["page"].sample_ids) == 70


@pytest.mark.parametrize("stop_after", [0, 3, 8, 9, 17, 18, 20, 28, 31])
def test_a_stopped_run_goes_on_to_the_same_bytes(stop_after, data, whole, tmp_path):
    out, first, second = tmp_path / "e.parquet", Model(stop_after=stop_after), Model()
    with pytest.raises(KeyboardInterrupt):
        run(first, data, out)
    assert not out.exists()
    finished = {p.name for p in (tmp_path / "e.parquet.parts").glob("*.parquet")}
    run(second, data, out)
    assert out.read_bytes() == whole
    redone = [batch for batch in second.seen if batch in first.seen]
    assert len(redone) < 8
    assert not finished & {f"{domain}-{int(ids[0]) // 32:06d}.parquet" for domain, ids in second.seen}


SLOW = """
import time, sys
from pathlib import Path
import numpy as np
from rope.bench.running.run import run_embedder
from rope.domain import DOMAINS

class Model:
    name, fingerprint = "model", "weights-1"
    def embed(self, samples):
        time.sleep(0.02)
        with open("log.txt", "a") as log:
            log.writelines(f"{s.domain} {s.sample_id}\\n" for s in samples)
        return np.array([[int(s.sample_id), DOMAINS.index(s.domain), 1] for s in samples], np.float64)

run_embedder(Model(), Path(sys.argv[1]), Path("e.parquet"), batch_size=4)
"""


def test_a_killed_process_is_continued_to_the_same_bytes(data, whole, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(data)], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "e.parquet.parts" / "page-000001.parquet").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    model = Model()
    out = run(model, data, tmp_path / "e.parquet")
    assert out.read_bytes() == whole
    before = set((tmp_path / "log.txt").read_text().splitlines())
    again = {f"{domain} {sample_id}" for domain, ids in model.seen for sample_id in ids} & before
    assert len(before) >= 64
    assert len(again) <= 8 * BATCH
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet", "log.txt"]


def test_a_finished_run_is_returned_as_it_is(data, whole, tmp_path):
    out = run(Model(), data, tmp_path / "e.parquet")
    (tmp_path / "e.parquet.parts").mkdir()  # as if killed while the parts were removed
    assert run(Model(stop_after=0), data, out).read_bytes() == whole


OTHERS = [
    ({"name": "other"}, {}, "embedder is 'model' there and 'other' now"),
    ({"fingerprint": "weights-2"}, {}, "embedder_fingerprint is 'weights-1' there and 'weights-2' now"),
    ({}, {"batch_size": 8}, "batch_size is 4 there and 8 now"),
]


@pytest.mark.parametrize(("changed", "options", "expected"), OTHERS)
def test_the_file_of_another_run_is_not_replaced(changed, options, expected, data, whole, tmp_path):
    out = tmp_path / "e.parquet"
    out.write_bytes(whole)
    with pytest.raises(
        UsageError, match=rf"e\.parquet exists already: {expected}; start over with --overwrite, or choose"
    ):
        run(Model(**changed), data, out, **options)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("name", ["", "folder", "/"])
def test_a_folder_is_not_taken_for_the_file(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is a folder; expected the name of a file to write"):
        run(Model(), data, Path(name))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.mark.parametrize(("changed", "options", "expected"), OTHERS)
def test_the_parts_of_another_run_are_not_used(changed, options, expected, data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Model(stop_after=10), data, tmp_path / "e.parquet")
    with pytest.raises(
        UsageError, match=f"holds an unfinished run of something else: {expected}; repeat the command as it was started"
    ):
        run(Model(**changed), data, tmp_path / "e.parquet", **options)


def test_another_split_is_not_called_other_files_too():
    first, other = (
        RunKey("m", "1", {}, {}, None, "d0", files, split, 4) for files, split in (("a", "train"), ("b", "validation"))
    )
    assert other.differences(first.to_json()) == "split is 'train' there and 'validation' now"


def test_another_dataset_is_another_run(data, tmp_path):
    out = run(Model(), data, tmp_path / "e.parquet")
    with pytest.raises(UsageError, match="dataset is 'd0' there and 'd1' now"):
        run(Model(), write_dataset(tmp_path / "d1", fingerprint="d1"), out)


def test_files_of_others_are_left_alone(data, tmp_path):
    out, notes = tmp_path / "e.parquet", tmp_path / "e.parquet.parts" / "notes.txt"
    notes.parent.mkdir()
    notes.touch()
    with pytest.raises(UsageError, match=r"holds notes\.txt, and not an unfinished run"):
        run(Model(), data, out)
    notes.rename(out)
    with pytest.raises(UsageError, match="it was not written by this command"):
        run(Model(), data, out)
    assert out.read_bytes() == b""


@dataclass
class Wrong:
    """Returns what it is given, from the second call on."""

    result: object
    name: str = "wrong"
    calls: int = 0

    def embed(self, samples):
        self.calls += 1
        return np.ones((len(samples), 2)) if self.calls == 1 else self.result


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ([[1.0, 2.0]] * 4, r"pages from '4' on: embed returned list, expected a NumPy array of floats"),
        (np.ones((4, 2), int), r"pages from '4' on: embed returned int64, expected a NumPy array"),
        (np.ones((3, 2)), r"pages from '4' on: embed returned shape \(3, 2\), expected \(4, dim\)"),
        (np.ones(4), r"pages from '4' on: embed returned shape \(4,\), expected \(4, dim\)"),
        (np.ones((4, 0)), r"pages from '4' on: embed returned shape \(4, 0\), expected \(4, dim\)"),
        (np.ones((4, 3)), r"pages from '4' on: embed returned dimension 3, expected 2 as before"),
        (np.array([[1, 1], [1, 1], [np.nan, 1], [1, 1]]), r"page '6': the embedding holds NaN or infinity"),
        (np.array([[1, 1], [1, 1e300], [1, 1], [1, 1]]), r"page '5': the embedding holds NaN or infinity"),
        (np.array([[1, 1], [1, 1], [1, 1], [0, 0.0]]), r"page '7': the embedding holds only zeros"),
    ],
)
def test_a_batch_that_is_no_embedding_is_named(result, expected, data, tmp_path):
    with pytest.raises(EmbeddingError, match=f"^wrong: {expected}"):
        run(Wrong(result), data, tmp_path / "e.parquet")


def test_the_dimension_is_remembered_when_a_run_goes_on(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Model(stop_after=9), data, tmp_path / "e.parquet")
    grown = Model()
    grown.embed = lambda samples: np.ones((len(samples), 5))
    with pytest.raises(EmbeddingError, match="dimension 5, expected 3 as before"):
        run(grown, data, tmp_path / "e.parquet")


class Decoding:
    name = "decoding"

    def embed(self, samples):
        return np.array([[decode_frames(sample, 1)[0].mean() + 1] for sample in samples])


def test_a_sample_that_cannot_be_decoded_stops_the_run_and_keeps_what_is_finished(tmp_path):
    data = write_dataset(tmp_path / "data", broken=("video", 20))
    with pytest.raises(DatasetError, match="video 20: embedded frame: cannot be decoded"):
        run(Decoding(), data, tmp_path / "e.parquet")
    kept = sorted(path.name for path in (tmp_path / "e.parquet.parts").iterdir())
    assert kept == ["key.json", "page-000000.parquet", "page-000001.parquet", "page-000002.parquet"]


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"split": "train"}, DatasetError, "the split train has no samples"),
        ({"batch_size": 0}, UsageError, "batch size must be at least 1, got 0"),
    ],
)
def test_a_run_over_nothing_is_refused(options, error, expected, data, tmp_path):
    with pytest.raises(error, match=expected):
        run(Model(), data, tmp_path / "e.parquet", **options)


def test_a_dataset_that_is_not_what_its_manifest_says_is_refused(tmp_path):
    data = write_dataset(tmp_path / "data", manifest_counts={"page": 70, "video": 40, "live": 17})
    with pytest.raises(DatasetError, match="video: read 1 samples from number 32 on, expected 8"):
        run(Model(), data, tmp_path / "e.parquet")


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_is_refused_at_its_first_batch_leaves_nothing(there, data, tmp_path):
    class Flat:
        name = "flat"

        def embed(self, samples):
            return [1.0 for _ in samples]

    parts = tmp_path / "e.parquet.parts"
    if there:
        with pytest.raises(KeyboardInterrupt):
            run(Model(stop_after=10), data, tmp_path / "e.parquet")
        before = sorted(parts.iterdir())
        with pytest.raises(UsageError, match="of something else"):
            run(Flat(), data, tmp_path / "e.parquet")
        assert sorted(parts.iterdir()) == before
    else:
        with pytest.raises(EmbeddingError):
            run(Flat(), data, tmp_path / "e.parquet")
        assert not parts.exists()
