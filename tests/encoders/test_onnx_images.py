from dataclasses import replace

import numpy as np
import pytest

from rope.encoders.onnx_images import PixelPreparation, load_onnx_images
from rope.errors import UsageError
from tests.encoders.onnx_files import save_means

pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")

NEITHER = PixelPreparation("stretch", mean=(0, 0, 0), std=(1, 1, 1))
BYTES = PixelPreparation("stretch", side=4)


def colours(*columns):
    """A picture of 4 x 8 whose left and right halves have these colours."""
    return np.repeat(np.array([columns], np.uint8).repeat(4, axis=1).reshape(1, 8, 3), 4, axis=0)


PICTURE = colours((255, 0, 51), (51, 0, 255))


@pytest.mark.parametrize(
    ("preparation", "expected"),
    [
        (NEITHER, [0.6, 0, 0.6]),
        (replace(NEITHER, channels="bgr"), [0.6, 0, 0.6]),
        (replace(NEITHER, mean=(0.1, 0, 0.2), std=(0.5, 1, 2)), [1.0, 0, 0.2]),
        (replace(NEITHER, fit="pad"), [0.3, 0, 0.3]),
    ],
)
def test_a_vector_follows_from_the_stated_preparation(tmp_path, preparation, expected):
    model = load_onnx_images(save_means(tmp_path / "m.onnx", side=4), preparation)
    np.testing.assert_allclose(model.encode(PICTURE), expected, atol=2e-3)  # a level of a scaled edge is rounded


def test_channels_are_given_in_the_stated_order(tmp_path):
    model = load_onnx_images(save_means(tmp_path / "m.onnx", side=4), replace(NEITHER, channels="bgr"))
    np.testing.assert_allclose(model.encode(colours((255, 0, 51), (255, 0, 51))), [0.2, 0, 1], atol=1e-6)


def test_a_model_of_bytes_with_the_channels_last_gets_them_as_they_are(tmp_path):
    model = load_onnx_images(save_means(tmp_path / "m.onnx", side="side", takes_bytes=True), BYTES)
    assert model.encode(colours((255, 0, 51), (255, 0, 51))).tolist() == [255, 0, 51]


@pytest.mark.parametrize(
    ("file", "preparation", "message"),
    [
        ({"side": 4}, BYTES, "takes numbers; say with mean and std"),
        ({"side": "side"}, replace(NEITHER, side=None), "takes images of any size; say with side"),
        ({"side": 4}, replace(NEITHER, side=8), "takes images of 4 pixels a side, and side is 8"),
        ({"side": "side", "takes_bytes": True}, replace(NEITHER, side=4), "leave out mean and std"),
        ({"side": 4}, replace(NEITHER, std=(1, 0, 1)), "expected numbers above 0"),
    ],
)
def test_a_preparation_that_does_not_fit_the_file_is_refused(tmp_path, file, preparation, message):
    with pytest.raises(UsageError, match=message):
        load_onnx_images(save_means(tmp_path / "m.onnx", **file), preparation)


def test_outputs_are_told_apart_by_name(tmp_path):
    path = save_means(tmp_path / "m.onnx", side=4, outputs=("mean", "pixels"))
    with pytest.raises(UsageError, match="has the outputs mean, pixels; say with output"):
        load_onnx_images(path, NEITHER)
    with pytest.raises(UsageError, match=r"of shape \[1, 3, 4, 4\] for one image; expected one vector"):
        load_onnx_images(path, NEITHER, output="pixels").encode(PICTURE)
    assert len(load_onnx_images(path, NEITHER, output="mean").encode(PICTURE)) == 3


def test_the_fingerprint_is_that_of_the_weights(tmp_path):
    first, same, other = (
        load_onnx_images(save_means(tmp_path / f"{i}.onnx", side=4, scale=scale), NEITHER).fingerprint
        for i, scale in enumerate((1, 1, 2))
    )
    assert first == same != other


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"?")
    with pytest.raises(UsageError, match="not an ONNX model that can be run"):
        load_onnx_images(tmp_path / "m.onnx", NEITHER)
    with pytest.raises(UsageError, match="no such file"):
        load_onnx_images(tmp_path / "other.onnx", NEITHER)
