import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rope.encoders.chinese_clip import BACKENDS, ChineseClip, load_chinese_clip
from rope.encoders.pixels import clip_pixels, square_pixels
from rope.errors import UsageError
from tests.baselines.checkpoints import save_chinese_clip

GOLDEN = Path(__file__).parents[3] / "shared" / "reference" / "baselines"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the vectors of the official code are not there")


def stored(name: str) -> np.ndarray:
    return np.load(GOLDEN / "cnclip_public_io.npz")[name]


def titles() -> list[str]:
    return json.loads((GOLDEN / "cnclip_public_meta.json").read_text("utf-8"))["config"]["titles"]


def golden_vocabulary(folder: Path) -> Path:
    """The official words where cn_clip is installed, else as many that mean nothing."""
    try:
        from cn_clip import clip
    except ImportError:
        marks = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
        words = [marks.get(i, f"word{i}") for i in range(21128)]
        (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
        return folder / "vocab.txt"
    return Path(clip.__file__).with_name("vocab.txt")


def golden_model(folder: Path, backend: str = "transformers", precision: str = "fp32") -> ChineseClip:
    if backend == "cn_clip":
        pytest.importorskip("cn_clip", reason="cn_clip, the official package, is not installed")
    return load_chinese_clip(
        str(GOLDEN / "cnclip_public_ckpt.pt"),
        backend=backend,
        precision=precision,
        device="cpu",
        vocabulary=str(golden_vocabulary(folder)),
        vision_head_width=32,
        text_head_width=8,
    )


def text_error(model: ChineseClip, monkeypatch) -> float:
    monkeypatch.setattr(model, "_tokenize", lambda texts: torch.tensor(stored("input_ids")).long())
    return float(np.abs(model.encode_texts(titles()).numpy() - stored("text_embed_raw")).max())


@needs_golden
@pytest.mark.parametrize("backend", BACKENDS)
def test_images_are_those_of_the_official_code(backend, tmp_path):
    model = golden_model(tmp_path, backend)
    pixels = [model.prepare(stored(f"image_{i}")) for i in range(3)]
    assert np.array_equal(torch.stack(pixels), stored("pixel_values"))
    assert np.allclose(model.encode_images(pixels), stored("image_embed_raw"), atol=2e-5, rtol=0)


@needs_golden
@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_are_those_of_the_official_code(backend, tmp_path, monkeypatch):
    assert text_error(golden_model(tmp_path, backend), monkeypatch) < 2e-5


@needs_golden
def test_tokens_are_those_of_the_official_code(tmp_path):
    pytest.importorskip("cn_clip", reason="cn_clip, which brings the words, is not installed")
    assert np.array_equal(golden_model(tmp_path).tokenize(titles()), stored("input_ids"))


@needs_golden
def test_without_the_mask_the_padding_would_be_read(tmp_path, monkeypatch):
    model = golden_model(tmp_path)
    network = model._model
    features = network.get_text_features
    monkeypatch.setattr(network, "get_text_features", lambda input_ids, attention_mask: features(input_ids=input_ids))
    assert text_error(model, monkeypatch) > 0.1


@needs_golden
def test_training_mode_would_be_seen(tmp_path, monkeypatch):
    model = golden_model(tmp_path)
    model._model.train()
    assert text_error(model, monkeypatch) > 0.1


@pytest.mark.parametrize("backend", BACKENDS)
@needs_golden
def test_nothing_drops_out(backend, tmp_path):
    model = golden_model(tmp_path, backend)
    assert not any(module.training for module in model._model.modules())


@needs_golden
def test_a_centre_crop_would_be_seen():
    assert np.abs(clip_pixels(stored("image_0"), 32).numpy() - stored("pixel_values")[0]).max() > 1
    assert np.array_equal(square_pixels(stored("image_0"), 32), stored("pixel_values")[0])


def test_a_folder_of_transformers_is_read_and_other_texts_in_the_batch_change_nothing(tmp_path):
    model = load_chinese_clip(str(save_chinese_clip(tmp_path)), device="cpu")
    texts = ["红色连衣裙", "鞋 12", ""]
    alone = torch.cat([model.encode_texts([text]) for text in texts])
    assert torch.allclose(model.encode_texts(texts), alone, atol=1e-5)
    assert model.tokenize(texts).shape == (3, 52)


def test_the_fingerprint_tells_weights_and_precision(tmp_path):
    folders = [save_chinese_clip(tmp_path / str(seed), seed) for seed in (0, 1)]
    given = [(folders[0], "fp32"), (folders[0], "fp32"), (folders[1], "fp32"), (folders[0], "bf16")]
    prints = [load_chinese_clip(str(folder), precision=p, device="cpu").fingerprint for folder, p in given]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("missing.pt", {}, "no such file"),
        ("folder", {"backend": "cn_clip"}, "needs a checkpoint of the authors"),
        ("folder", {"backend": "other"}, "not one of"),
        ("folder", {"precision": "fp8"}, "not one of"),
    ],
)
def test_what_does_not_fit_is_refused(source, options, expected):
    with pytest.raises(UsageError, match=expected):
        load_chinese_clip(source, device="cpu", **options)
