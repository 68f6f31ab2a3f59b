"""Cheap measures of pictures and texts, by which filters cut."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from rope.curation.operations.quality import Quality, blur_of, measure_quality, script_of
from rope.curation.operations.score import ScoreFrames, score_frames
from rope.errors import UsageError

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [("id", "string"), ("domain", "string"), ("text", "string"), ("frames", pa.list_(FILE)), ("video", FILE)]
)


def stored(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": None}


def rows(*shown, text="a cup", domain="page"):
    return pa.RecordBatch.from_pylist(
        [
            {"id": str(i), "domain": domain, "text": text, "frames": frames, "video": None}
            for i, frames in enumerate(shown)
        ],
        SCHEMA,
    )


def measured(*shown, **more):
    outcome = measure_quality(rows(*shown, **more), Quality())
    return outcome.kept.drop_columns(SCHEMA.names).to_pylist()


def photo(size=(300, 200)):
    """Strokes of many widths on grey."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).resize(size, Image.Resampling.NEAREST)
    return Image.blend(coarse, Image.fromarray(rng.integers(0, 256, size[::-1], dtype=np.uint8)), 0.3).convert("RGB")


def test_the_more_a_picture_is_blurred_the_higher_its_blur_whatever_its_size():
    found = [
        measured([stored(photo().filter(ImageFilter.GaussianBlur(radius)))])[0]["blur"] for radius in (0, 1, 2, 4, 8)
    ]
    assert found == sorted(found)
    assert found[0] < 0.35
    assert found[-1] > 0.65
    larger = photo().resize((1200, 800), Image.Resampling.BICUBIC)
    assert measured([stored(larger)])[0]["blur"] == pytest.approx(found[0], abs=0.15)


def test_blur_is_that_of_a_loop_along_both_directions():
    grey = np.random.default_rng(1).random((12, 30))

    def along_rows(values):
        wide = np.pad(values, ((0, 0), (5, 5)), mode="edge")
        soft = [[row[x : x + 11].mean() for x in range(values.shape[1])] for row in wide]
        lost = own = 0.0
        for sharp_row, soft_row in zip(values, soft, strict=True):
            for x in range(values.shape[1] - 1):
                difference = abs(sharp_row[x + 1] - sharp_row[x])
                own += difference
                lost += max(0.0, difference - abs(soft_row[x + 1] - soft_row[x]))
        return 1 - lost / own

    assert blur_of(grey) == pytest.approx(max(along_rows(grey), along_rows(grey.T)))


@pytest.mark.parametrize(
    ("image", "brightness", "aspect", "opaque"),
    [
        (Image.new("RGB", (40, 20), "white"), 1.0, 0.5, 1.0),
        (Image.new("L", (20, 80), 51), 0.2, 0.25, 1.0),
        (Image.new("RGBA", (20, 20), (255, 255, 255, 51)), 1.0, 1.0, 0.2),
        (Image.fromarray(np.full((20, 20), 51 * 257, np.uint16)), 0.2, 1.0, 1.0),
    ],
)
def test_brightness_shape_and_transparency(image, brightness, aspect, opaque):
    (found,) = measured([stored(image)])
    assert (found["brightness"], found["aspect"], found["opaque"]) == (brightness, aspect, opaque)


def test_a_heic_is_measured():
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed").register_heif_opener()
    (found,) = measured([stored(Image.new("RGB", (64, 32), "white"), "HEIF")])
    assert (found["aspect"], found["brightness"]) == (0.5, pytest.approx(1, abs=0.02))


def test_of_a_clip_the_median_of_its_frames_counts():
    frames = [stored(Image.new("L", (9, 9), level)) for level in (0, 0, 0, 255)]
    assert measured(frames, domain="video")[0]["brightness"] == 0


@pytest.mark.parametrize(
    ("text", "length", "script"),
    [
        (None, 0, "none"),
        ("  ", 0, "none"),
        ("红 色杯子", 4, "han"),
        ("Nike Air 12", 9, "latin"),
        ("红色 Nike Air", 9, "han"),
        ("кружка", 6, "cyrillic"),
    ],
)
def test_texts_have_a_length_and_a_script(text, length, script):
    (found,) = measured([stored(Image.new("L", (9, 9)))], text=text)
    assert (found["text_length"], found["script"]) == (length, script)
    assert script_of(text or "") == script


def test_what_cannot_be_read_is_rejected():
    outcome = measure_quality(rows([{"bytes": b"?", "path": None}], [stored(Image.new("L", (9, 9)))]), Quality())
    assert (outcome.kept["id"].to_pylist(), outcome.rejects["reason"].to_pylist()) == (["1"], ["unreadable_media"])


def redness(frames):
    return [float(frame[..., 0].mean() / 255) for frame in frames]


def text(_frames):
    return ["0.5"]


def wrong(frames):
    return [0.5] * (len(frames) + 1)


@pytest.mark.parametrize(("reduce", "expected"), [("max", 1.0), ("min", 0.0), ("mean", 0.5)])
def test_a_plugged_model_gives_a_number_for_each_row(reduce, expected):
    frames = [stored(Image.new("RGB", (9, 9), colour)) for colour in ("red", "blue")]
    options = ScoreFrames(f"{__name__}:redness", "nsfw", frames=2, reduce=reduce)
    assert score_frames(rows(frames, domain="live"), options).kept["nsfw"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("nowhere:f", "no module 'nowhere'"),
        (f"{__name__}:nothing", "is not a function; expected module:function"),
        (f"{__name__}:text", r"returned \['0.5'\] for 1 pictures"),
        (f"{__name__}:wrong", r"returned \[0.5, 0.5\] for 1 pictures of row 0; expected a finite number for each"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(model, sentence):
    with pytest.raises(UsageError, match=sentence):
        score_frames(rows([stored(Image.new("L", (9, 9)))]), ScoreFrames(model, "nsfw"))
