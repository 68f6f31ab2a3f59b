import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from rope.encoders.chinese_clip import BACKENDS, ChineseClip, load_chinese_clip
from rope.encoders.pixels import clip_pixels, square_pixels
from rope.errors import UsageError
from tests.baselines.checkpoints import bert_words, save_chinese_clip
from tests.stored import facts, tensors


def stored(name: str) -> np.ndarray:
    return tensors("chinese_clip/io")[name].numpy()


def titles() -> list[str]:
    return facts("chinese_clip/titles")


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
    torch.save({"state_dict": tensors("chinese_clip/weights")}, folder / "checkpoint.pt")
    return load_chinese_clip(
        str(folder / "checkpoint.pt"),
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


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_are_those_of_the_official_code(backend, tmp_path):
    model = golden_model(tmp_path, backend)
    pixels = [model.prepare(stored(f"image_{i}")) for i in range(3)]
    assert np.array_equal(torch.stack(pixels), stored("pixel_values"))
    assert np.allclose(model.encode_images(pixels), stored("image_embed_raw"), atol=2e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_are_those_of_the_official_code(backend, tmp_path, monkeypatch):
    assert text_error(golden_model(tmp_path, backend), monkeypatch) < 2e-5


def test_tokens_are_those_of_the_official_code(tmp_path):
    pytest.importorskip("cn_clip", reason="cn_clip, which brings the words, is not installed")
    assert np.array_equal(golden_model(tmp_path).tokenize(titles()), stored("input_ids"))


def test_without_the_mask_the_padding_would_be_read(tmp_path, monkeypatch):
    model = golden_model(tmp_path)
    network = model._model
    features = network.get_text_features
    monkeypatch.setattr(network, "get_text_features", lambda input_ids, attention_mask: features(input_ids=input_ids))
    assert text_error(model, monkeypatch) > 0.1


def test_training_mode_would_be_seen(tmp_path, monkeypatch):
    model = golden_model(tmp_path)
    model._model.train()
    assert text_error(model, monkeypatch) > 0.1


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_drops_out(backend, tmp_path):
    model = golden_model(tmp_path, backend)
    assert not any(module.training for module in model._model.modules())


def test_a_centre_crop_would_be_seen():
    assert np.abs(clip_pixels(stored("image_0"), 32).numpy() - stored("pixel_values")[0]).max() > 1
    assert np.array_equal(square_pixels(stored("image_0"), 32), stored("pixel_values")[0])


def test_a_folder_of_transformers_is_read_and_other_texts_in_the_batch_change_nothing(tmp_path):
    model = load_chinese_clip(str(save_chinese_clip(tmp_path)), device="cpu")
    texts = ["红色连衣裙", "鞋 12", ""]
    alone = torch.cat([model.encode_texts([text]) for text in texts])
    assert torch.allclose(model.encode_texts(texts), alone, atol=1e-5)
    assert model.tokenize(texts).shape == (3, 52)


def save_official(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint of cn_clip with random weights, and words next to it."""
    generator, width, n_words = torch.Generator().manual_seed(0), 64, len(bert_words())
    shapes: dict[str, tuple[int, ...]] = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (17, width),
        "visual.proj": (width, 16),
        "visual.conv1.weight": (width, 3, 8, 8),
        "text_projection": (width, 16),
        "logit_scale": (),
        "bert.embeddings.word_embeddings.weight": (n_words, width),
        "bert.embeddings.position_embeddings.weight": (64, width),
        "bert.embeddings.token_type_embeddings.weight": (2, width),
    }
    linear = {}
    for i in range(2):
        block, layer = f"visual.transformer.resblocks.{i}", f"bert.encoder.layer.{i}"
        linear |= {f"{block}.attn.in_proj_": (3 * width, width), f"{block}.attn.out_proj.": (width, width)}
        linear |= {f"{block}.mlp.c_fc.": (128, width), f"{block}.mlp.c_proj.": (width, 128)}
        linear |= {f"{layer}.attention.self.{part}.": (width, width) for part in ("query", "key", "value")}
        linear |= {f"{layer}.attention.output.dense.": (width, width)}
        linear |= {f"{layer}.intermediate.dense.": (128, width), f"{layer}.output.dense.": (width, 128)}
        norms = [f"{block}.ln_1", f"{block}.ln_2", f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        shapes |= {f"{norm}.{kind}": (width,) for norm in norms for kind in ("weight", "bias")}
    for name, shape in linear.items():
        shapes |= {f"{name}weight": shape, f"{name}bias": shape[:1]}
    norms = ["visual.ln_pre", "visual.ln_post", "bert.embeddings.LayerNorm"]
    shapes |= {f"{norm}.{kind}": (width,) for norm in norms for kind in ("weight", "bias")}
    state = {f"module.{name}": torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    torch.save({"epoch": 1, "name": "tiny", "state_dict": state}, path)
    path.with_name("vocab.txt").write_text("\n".join(bert_words()), "utf-8")
    return state


def fused(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same as cn_clip saves it when it is trained with --use-flash-attention."""
    state = {re.sub(r"(visual.*\.attn)\.in_proj_", r"\1.Wqkv.", name): weight for name, weight in state.items()}
    for i, kind in product(range(2), ("weight", "bias")):
        layer = f"module.bert.encoder.layer.{i}.attention"
        parts = [state.pop(f"{layer}.self.{part}.{kind}") for part in ("query", "key", "value")]
        state[f"{layer}.self.Wqkv.{kind}"] = torch.cat(parts)
        state[f"{layer}.self.out_proj.{kind}"] = state.pop(f"{layer}.output.dense.{kind}")
    return state


@pytest.mark.parametrize("tower", ["", "visual", "bert"])
def test_fused_attention_gives_the_vectors_of_the_plain_one(tower, tmp_path):
    state = save_official(tmp_path / "plain.pt")
    mixed = {name: weight for name, weight in fused(state).items() if tower in name}
    mixed |= {name: weight for name, weight in state.items() if tower not in name}
    torch.save({"state_dict": mixed}, tmp_path / "flash.pt")
    plain, flash = (load_chinese_clip(str(tmp_path / f"{name}.pt"), device="cpu") for name in ("plain", "flash"))
    images = [plain.prepare(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))]
    assert torch.equal(plain.encode_images(images), flash.encode_images(images))
    assert torch.equal(plain.encode_texts(["红色 dress"]), flash.encode_texts(["红色 dress"]))
    assert plain.fingerprint == flash.fingerprint


@pytest.mark.parametrize("lost", ["visual.proj", "bert.encoder.layer.1.output.dense.bias"])
def test_a_weight_that_a_checkpoint_lacks_is_named(lost, tmp_path):
    state = save_official(tmp_path / "m.pt")
    del state[f"module.{lost}"]
    torch.save({"state_dict": state}, tmp_path / "m.pt")
    with pytest.raises(UsageError, match=f"{lost.removeprefix('bert.')}.* is missing"):
        load_chinese_clip(str(tmp_path / "m.pt"), device="cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_official_package_computes_in_half_precision(precision, tmp_path):
    whole, half = (golden_model(tmp_path, "cn_clip", p) for p in ("fp32", precision))
    images = [whole.prepare(stored("image_0"))]
    for one, other in (
        (whole.encode_images(images), half.encode_images(images)),
        (whole.encode_texts(titles()), half.encode_texts(titles())),
    ):
        assert torch.cosine_similarity(one, other).min() > 0.999


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
