import pyarrow as pa
import pytest

from rope.dataset.sample_rows import to_sample
from rope.media import choose_frames
from rope.schema import SAMPLE_SCHEMA


def rows(n_stored):
    frames = [{"bytes": bytes([i]), "path": f"{i}.jpg"} for i in range(n_stored)]
    return pa.Table.from_pylist([{"sample_id": "7", "text": None, "frames": frames}], SAMPLE_SCHEMA)


@pytest.mark.parametrize("n_stored", [0, 1, 3, 8, 9, 30])
def test_as_many_frames_are_read_as_are_decoded(n_stored):
    sample = to_sample(rows(n_stored), 0, "video", 8)
    assert len(sample.frames) == min(n_stored, 8)
    if n_stored:
        chosen = [sample.frames[i].data[0] for i in choose_frames(len(sample.frames), 8)]
        assert chosen == choose_frames(n_stored, 8)
