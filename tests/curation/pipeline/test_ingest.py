import pyarrow as pa
import pytest

from rope.curation.pipeline import ingest
from rope.curation.pipeline.ingest import ROW_SCHEMA, IngestOptions, ingest_rows
from rope.curation.pipeline.operation import divide


def admitted(row, **renamed):
    columns = {
        name: renamed.get(name, name) for name in ("id", "domain", "text", "frames", "video", "paths", "category")
    }
    options = IngestOptions("/pool", {ours: theirs for ours, theirs in columns.items() if theirs in row})
    return ingest_rows(pa.RecordBatch.from_pylist([row]), options)


@pytest.mark.parametrize(
    ("media", "frames", "video"),
    [
        ({"frames": "a.jpg"}, ["/pool/a.jpg"], None),
        ({"frames": ["a.jpg", None, "/b.jpg"]}, ["/pool/a.jpg", "/b.jpg"], None),
        ({"frames": [{"bytes": None, "path": "a.jpg"}]}, ["/pool/a.jpg"], None),
        ({"video": "v.mp4"}, [], "/pool/v.mp4"),
        ({"paths": ["a.jpg", "v.MP4"]}, ["/pool/a.jpg"], "/pool/v.MP4"),
    ],
)
def test_media_come_in_several_forms(media, frames, video):
    kept = admitted({"id": "1", "domain": "video", **media}).kept.to_pylist()[0]
    assert [frame["path"] for frame in kept["frames"]] == frames
    assert (kept["video"] or {}).get("path") == video


def test_columns_of_media_that_a_pool_lacks_and_rejects_that_there_are_not_cost_nothing(monkeypatch):
    looked_at = []
    files = ingest._files
    monkeypatch.setattr(ingest, "_files", lambda column, root: looked_at.append(len(column)) or files(column, root))
    rows = pa.RecordBatch.from_pydict(
        {"id": ["1", "2"], "domain": ["page"] * 2, "video": [None] * 2, "paths": ["a"] * 2}
    )
    outcome = ingest_rows(rows, IngestOptions("/pool", {name: name for name in ("id", "domain", "paths")}))
    assert looked_at == [2]
    assert (outcome.kept.num_rows, outcome.rejects.num_rows) == (2, 0)
    whole = divide(rows, [None, None])
    assert whole.kept is rows


def test_bytes_go_before_a_path_and_words_are_trimmed():
    row = {"id": 7, "domain": "page", "text": " 空 ", "frames": [{"bytes": b"x", "path": "a.jpg"}], "category": "  "}
    kept = admitted(row).kept
    assert kept.schema.equals(ROW_SCHEMA)
    assert kept.select(["id", "text", "frames", "category"]).to_pylist() == [
        {"id": "7", "text": "空", "frames": [{"bytes": b"x", "path": None}], "category": None}
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": None, "domain": "page", "frames": ["a.jpg"]}, "no_id"),
        ({"id": " ", "domain": "page", "frames": ["a.jpg"]}, "no_id"),
        ({"id": "1", "domain": "pages", "frames": ["a.jpg"]}, "unknown_domain"),
        ({"id": "1", "domain": None, "frames": ["a.jpg"]}, "unknown_domain"),
        ({"id": "1", "domain": "page", "frames": [""]}, "no_media"),
        ({"id": "1", "domain": "page", "video": "a.mp4"}, "no_media"),
    ],
)
def test_a_row_that_is_no_sample_is_rejected(row, reason):
    assert admitted(row).rejects["reason"].to_pylist() == [reason]


@pytest.mark.parametrize(
    ("kind", "given", "paths"),
    [
        (pa.large_string(), "a.jpg", ["/pool/a.jpg"]),
        (pa.dictionary(pa.int8(), pa.string()), "a.jpg", ["/pool/a.jpg"]),
        (pa.large_list(pa.string()), ["a.jpg", "b.jpg"], ["/pool/a.jpg", "/pool/b.jpg"]),
        (pa.list_(pa.string(), 2), ["a.jpg", None], ["/pool/a.jpg"]),
        (pa.struct([("path", pa.large_string())]), {"path": "a.jpg"}, ["/pool/a.jpg"]),
        (pa.struct([("bytes", pa.large_binary())]), {"bytes": b"x"}, [None]),
        (pa.list_(pa.struct([("path", pa.string())])), [None, {"path": ""}, {"path": "a.jpg"}], ["/pool/a.jpg"]),
    ],
)
def test_media_may_be_of_any_type_that_holds_them(kind, given, paths):
    batch = pa.table({"id": ["0", "1"], "domain": ["live"] * 2, "frames": pa.array([None, given], kind)}).to_batches()[
        0
    ]
    outcome = ingest_rows(batch, IngestOptions("/pool", {name: name for name in batch.schema.names}))
    assert [frame["path"] for frame in outcome.kept.to_pylist()[0]["frames"]] == paths
    assert outcome.rejects["id"].to_pylist() == ["0"]


@pytest.mark.parametrize(("value", "name"), [(7, "7"), (1.5, "1.5"), (True, "True"), (" x ", " x ")])
def test_ids_are_written_as_python_writes_them_and_not_trimmed(value, name):
    assert admitted({"id": value, "domain": "page", "frames": "a.jpg"}).kept["id"].to_pylist() == [name]


def test_frames_come_before_paths_and_the_first_video_is_taken():
    media = {"frames": ["f.jpg"], "paths": ["x/w.webm", "p.jpg", ".mp4", "v.mov"]}
    kept = admitted({"id": "1", "domain": "live", **media}).kept.to_pylist()[0]
    assert [frame["path"] for frame in kept["frames"]] == ["/pool/f.jpg", "/pool/p.jpg", "/pool/.mp4"]
    assert kept["video"]["path"] == "/pool/x/w.webm"


def test_a_row_does_not_depend_on_its_neighbours():
    rows = [
        {
            "id": str(i),
            "domain": ["page", "live", "pages"][i % 3],
            "text": "t" * (i % 4),
            "paths": ["a.jpg", "b.mp4"][: i % 3],
        }
        for i in range(12)
    ]
    batch = pa.RecordBatch.from_pylist(rows)
    options = IngestOptions("/pool", {name: name for name in batch.schema.names})
    alone = [ingest_rows(batch.slice(i, 1), options) for i in range(12)]
    whole = ingest_rows(batch, options)
    assert pa.Table.from_batches([one.kept for one in alone]).equals(pa.table(whole.kept))
    assert pa.Table.from_batches([one.rejects for one in alone]).equals(pa.table(whole.rejects))
