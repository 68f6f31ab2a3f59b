import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from rope.curation.operations.embed import EMBED, Embed, embed
from rope.curation.pipeline.ingest import ROW_SCHEMA
from rope.curation.pipeline.operation import load_operation
from rope.encoders.chinese_clip import load_chinese_clip
from rope.errors import UsageError

TEXT = "a red cup"


@pytest.fixture(scope="module")
def options(tiny_chinese_clip):
    return Embed(model=str(tiny_chinese_clip), device="cpu", frames=4, margin=0.01)


def image(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).resize((40, 30)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def rows(*wanted):
    """Rows (domain, text, frames)."""
    return pa.RecordBatch.from_pylist(
        [
            {"id": str(i), "domain": domain, "text": text, "frames": frames, "video": None}
            for i, (domain, text, frames) in enumerate(wanted)
        ],
        ROW_SCHEMA,
    )


def test_similarity_is_that_of_the_best_frame_and_the_text(options):
    frames = [image(seed) for seed in range(6)]
    row = embed(rows(("video", TEXT, frames)), options).kept.to_pylist()[0]
    model = load_chinese_clip(options.model, device="cpu")
    text = model.encode_texts([TEXT])[0]
    chosen = [0, 2, 3, 5]  # (2i + 1) * 6 // 8
    decoded = [np.asarray(Image.open(io.BytesIO(frames[i]["bytes"]))) for i in chosen]
    vectors = model.encode_images([model.prepare(pixels) for pixels in decoded])
    expected = torch.cosine_similarity(vectors, text[None]).numpy()
    np.testing.assert_allclose(row["frame_similarity"], expected, atol=6e-5)
    assert row["similarity"] == max(row["frame_similarity"])
    shown = [place for place, s in zip(chosen, row["frame_similarity"], strict=True) if s >= row["similarity"] - 0.01]
    assert row["shown_frames"] == shown
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).numpy()[[chosen.index(place) for place in shown]].mean(axis=0)
    np.testing.assert_allclose(row["embedding"], unit / np.linalg.norm(unit), atol=1e-5)


def test_a_row_without_a_text_has_no_similarity_and_shows_all_its_frames(options):
    row = embed(rows(("live", None, [image(1), image(2)])), options).kept.to_pylist()[0]
    assert (row["similarity"], row["frame_similarity"], row["shown_frames"]) == (None, None, [0, 1])


def test_no_bit_of_a_row_depends_on_its_neighbours(options):
    wanted = [("page", TEXT, [image(1)]), ("video", "cup", [image(2)] * 9), ("live", "a", [image(3), image(4)])]
    together = embed(rows(*wanted), options).kept.to_pylist()
    alone = [embed(rows(one), options).kept.to_pylist()[0] for one in wanted]
    assert [{**row, "id": "0"} for row in together] == alone


def test_a_row_whose_media_cannot_be_read_is_rejected(options):
    broken = {"bytes": b"no image", "path": None}
    outcome = embed(rows(("page", TEXT, [broken]), ("page", TEXT, [image(1)])), options)
    assert outcome.kept["id"].to_pylist() == ["1"]
    assert outcome.rejects["reason"].to_pylist() == ["unreadable_media"]


def test_no_rows_have_the_same_columns(options):
    some, none = (embed(batch, options) for batch in (rows(("page", TEXT, [image(1)])), rows()))
    assert none.kept.schema == some.kept.schema


def test_the_fingerprint_is_that_of_the_weights(options):
    assert load_operation("rope.curation.operations.embed:EMBED") is EMBED
    assert EMBED.fingerprint(options) == load_chinese_clip(options.model, device="cpu").fingerprint


def test_options_out_of_range():
    with pytest.raises(UsageError, match="frames is 0"):
        Embed(frames=0)
