import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.operations.encode import ENCODE, Encode, encode
from rope.curation.pipeline.ingest import ROW_SCHEMA
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.errors import UsageError
from tests.curation.pools import column, local
from tests.encoders.onnx_files import save_means

pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")


def plain(*colour):
    file = io.BytesIO()
    Image.new("RGB", (10, 8), colour).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def rows(*frames):
    """A page for each list of frames."""
    found = [
        {"id": str(i), "domain": "page", "text": None, "frames": some, "video": None} for i, some in enumerate(frames)
    ]
    return pa.RecordBatch.from_pylist(found, ROW_SCHEMA)


@pytest.fixture
def options(tmp_path):
    return Encode(save_means(tmp_path / "m.onnx", side=4), "stretch", "copies", mean=[0, 0, 0], std=[1, 1, 1])


def test_a_row_gets_the_unit_vector_of_its_picture(options):
    broken = {"bytes": b"?", "path": None}
    outcome = encode(rows([plain(255, 0, 0)], [broken], [plain(0, 153, 204)]), options)
    np.testing.assert_allclose(outcome.kept["copies"].to_pylist(), [[1, 0, 0], [0, 0.6, 0.8]], atol=1e-6)
    assert outcome.rejects["reason"].to_pylist() == ["unreadable_media"]


def test_a_clip_gets_the_mean_over_its_frames(options):
    clip = rows([plain(255, 0, 0), plain(0, 255, 0)])
    clip = clip.set_column(1, "domain", pa.array(["live"]))
    np.testing.assert_allclose(encode(clip, options).kept["copies"].to_pylist(), [[0.5**0.5, 0.5**0.5, 0]], atol=1e-6)


def test_a_second_encoder_needs_a_name_of_its_own(options):
    once = encode(rows([plain(255, 0, 0)]), options).kept
    with pytest.raises(UsageError, match="a column 'copies' already; give this one another name with column"):
        encode(once, options)


def test_another_model_in_the_same_file_makes_the_stage_again(options, tmp_path):
    before = ENCODE.fingerprint(options)
    other = save_means(tmp_path / "other.onnx", side=4, scale=2)
    assert before != ENCODE.fingerprint(Encode(other, "stretch", mean=[0, 0, 0], std=[1, 1, 1]))


def test_channels_are_three(tmp_path):
    with pytest.raises(UsageError, match="mean has 1 numbers; expected 3"):
        Encode(tmp_path / "m.onnx", "stretch", mean=[0.5])


RECIPE = """
[pool]
path = "pool.parquet"
[[stage]]
use = "encode"
name = "colours"
model = "m.onnx"
fit = "stretch"
mean = [0, 0, 0]
std = [1, 1, 1]
[[stage]]
use = "encode"
name = "pale"
model = "m.onnx"
fit = "stretch"
mean = [-9, -9, -9]
std = [1, 1, 1]
column = "pale"
[[stage]]
use = "merge"
copies = false
thresholds = { page-page = 0.99 }
"""


@pytest.mark.parametrize(("chosen", "n_products"), [("", 2), ('column = "pale"', 1)])
def test_two_encoders_coexist_and_a_stage_names_the_one_it_uses(chosen, n_products, options, tmp_path):
    for name in ("red", "lime"):
        Image.new("RGB", (10, 8), name).save(tmp_path / f"{name}.png")
    pool = [{"id": name, "domain": "page", "text": "x", "frames": [f"{name}.png"]} for name in ("red", "lime")]
    pq.write_table(pa.Table.from_pylist(pool), tmp_path / "pool.parquet")
    (tmp_path / "recipe.toml").write_text(RECIPE + chosen)
    recipe = read_recipe(tmp_path / "recipe.toml")
    run_recipe(recipe, local(1), progress=False)
    assert len(set(column(recipe, "merge", "product_id"))) == n_products
