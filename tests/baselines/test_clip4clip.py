from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import CLIPTokenizer

from baselines.clip4clip import Clip4Clip, embedder, rerank, tokenize
from baselines.clip4clip_checkpoint import read_clip4clip
from baselines.clip4clip_heads import HEADS, QuickGelu, SeqLstm, SeqTransf, pool_video
from rope.encoders.pixels import clip_pixels
from rope.errors import UsageError
from tests.baselines.checkpoints import clip_tokenizer, save_clip4clip
from tests.stored import facts, tensors


def golden_checkpoint(folder: Path, head: str) -> Path:
    """The authors' checkpoint of a head: that of CLIP and the head's keys in one file."""
    state = tensors("clip4clip/clip")
    if head != "meanP":
        state |= tensors(f"clip4clip/{head}")
    torch.save(state, folder / "pytorch_model.bin.0")
    return folder / "pytorch_model.bin.0"


def golden_inputs() -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
    stored = tensors("clip4clip/inputs")
    mean, std = (stored[f"pixel_{name}"][:, None, None] for name in ("mean", "std"))
    pixels = (stored["video_uint8"].float() / 255 - mean) / std
    lengths = stored["video_mask"].sum(axis=1)
    clips = [list(video[: int(length)]) for video, length in zip(pixels, lengths, strict=True)]
    return stored["input_ids"].long(), clips


def golden_model(folder: Path, head: str, precision: str = "fp32") -> Clip4Clip:
    weights = read_clip4clip(golden_checkpoint(folder, head), cross_heads=4)
    assert (weights.head_name, weights.trained) == (head, True)
    return Clip4Clip(weights, None, precision, "cpu")


def similarity(model: Clip4Clip) -> np.ndarray:
    ids, clips = golden_inputs()
    return model.similarity(model.encode_tokens(ids), *model.encode_frames(clips)).numpy()


def golden(name: str) -> np.ndarray:
    return tensors("clip4clip/outputs")[name].numpy()


def error(head: str, model: Clip4Clip) -> float:
    return float(np.abs(similarity(model) - golden(f"fp32/{head}/sim")).max())


@pytest.mark.parametrize("head", HEADS)
def test_logits_are_those_of_the_official_code(head, tmp_path):
    assert error(head, golden_model(tmp_path, head)) < 1e-4


@pytest.mark.parametrize("head", ["meanP", "seqLSTM", "seqTransf"])
def test_vectors_are_those_of_the_official_code(head, tmp_path):
    model = golden_model(tmp_path, head)
    ids, clips = golden_inputs()
    assert np.allclose(model.encode_clips(clips), golden(f"fp32/{head}/video_embed"), atol=2e-5, rtol=0)
    assert np.allclose(model.encode_tokens(ids), golden("fp32/text_embed_raw"), atol=2e-5, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_half_precision_is_about_as_far_off_as_the_official_one(head, tmp_path):
    official = max(np.abs(golden(f"fp16/{name}/sim") - golden(f"fp32/{name}/sim")).max() for name in HEADS)
    assert error(head, golden_model(tmp_path, head, "fp16")) < 1.1 * official


@pytest.mark.parametrize("mistake", ["gelu", "no length per frame", "no final length"])
def test_a_mistake_would_be_seen(mistake, tmp_path, monkeypatch):
    def careless(frames, mask):
        unit = frames if mistake == "no length per frame" else nn.functional.normalize(frames, dim=-1)
        pooled = (unit * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return pooled if mistake == "no final length" else nn.functional.normalize(pooled, dim=-1)

    model = golden_model(tmp_path, "meanP")
    if mistake == "gelu":
        for layer in model._clip.vision_model.encoder.layers:
            layer.mlp.activation_fn = nn.GELU()
    else:
        monkeypatch.setattr("baselines.clip4clip.pool_video", careless)
    assert error("meanP", model) > 1e-3


@pytest.mark.parametrize("head", ["seqTransf", "tightTransf"])
def test_the_heads_need_the_mask(head, tmp_path):
    model = golden_model(tmp_path, head)
    ids, clips = golden_inputs()
    frames, mask = model.encode_frames(clips)
    found = model.similarity(model.encode_tokens(ids), frames, torch.ones_like(mask)).numpy()
    assert np.abs(found - golden(f"fp32/{head}/sim")).max() > 1e-3


@pytest.mark.parametrize("head", ["seqTransf", "tightTransf"])
def test_the_heads_need_quick_gelu(head, tmp_path, monkeypatch):
    monkeypatch.setattr(QuickGelu, "forward", lambda self, x: nn.functional.gelu(x))
    assert error(head, golden_model(tmp_path, head)) > 1e-4


def test_pixels_are_those_of_the_official_transform():
    stored = tensors("clip4clip/preprocess")
    for i in range(4):
        assert np.array_equal(clip_pixels(stored[f"img{i}"].numpy(), 32), stored[f"out{i}"])


def test_pooling_is_the_loop_that_it_stands_for():
    rng = np.random.default_rng(0)
    frames, lengths = rng.normal(size=(3, 5, 4)), [5, 2, 1]
    expected = []
    for video, length in zip(frames, lengths, strict=True):
        mean = np.mean([frame / np.linalg.norm(frame) for frame in video[:length]], axis=0)
        expected.append(mean / np.linalg.norm(mean))
    mask = torch.tensor([[i < length for i in range(5)] for length in lengths]).long()
    assert np.allclose(pool_video(torch.tensor(frames), mask), expected)


@pytest.mark.parametrize("head", [SeqLstm(64), SeqTransf(64, 2)])
def test_what_stands_after_a_video_changes_nothing(head):
    frames, mask = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(0)), torch.ones(2, 6)
    mask[:, 4:] = 0
    other = frames.clone()
    other[:, 4:] = 99
    first, second = (pool_video(head(x, mask), mask) for x in (frames, other))
    assert torch.allclose(first, second, atol=1e-6)


def test_batches_change_nothing(tmp_path):
    model = Clip4Clip(read_clip4clip(save_clip4clip(tmp_path / "m", "seqTransf")), None, "fp32", "cpu")
    clips = torch.randn(3, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    several = [list(clip[:n]) for clip, n in zip(clips, (4, 1, 2), strict=True)]
    alone = torch.cat([model.encode_clips([clip]) for clip in several])
    assert torch.allclose(model.encode_clips(several), alone, atol=1e-5)


def test_tokens_end_and_are_padded_with_zeros():
    tokenizer = clip_tokenizer()
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    short, long = tokenize(tokenizer, ["ab", "a" * 50], 6).tolist()
    assert short == [start, *tokenizer("ab")["input_ids"][1:-1], end, 0, 0]
    assert (long[0], long[-1], len(long)) == (start, end, 6)


def test_tokens_are_those_of_the_official_code():
    open_clip = pytest.importorskip("open_clip", reason="open_clip, which brings CLIP's word pieces, is not installed")
    theirs = open_clip.SimpleTokenizer()
    marks = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}  # open_clip's names, and CLIP's
    words = {marks.get(word, word): i for word, i in theirs.encoder.items()}
    tokenizer = CLIPTokenizer(vocab=words, merges=list(theirs.bpe_ranks))
    rows = facts("clip4clip/tokens")
    found = tokenize(tokenizer, [row["text"] for row in rows])
    assert found.tolist() == [row["input_ids"] for row in rows]


@pytest.mark.parametrize("given", ["many", "0", "-1", "1.5", ""])
def test_heads_that_are_no_number_are_refused(given):
    with pytest.raises(UsageError, match="cross_heads"):
        embedder("m", cross_heads=given)


def test_html_entities_are_undone_twice():
    tokenizer = clip_tokenizer()
    assert torch.equal(tokenize(tokenizer, ["a &amp;amp; b"]), tokenize(tokenizer, ["a & b"]))


@pytest.mark.parametrize("head", ["seqTransf", "tightTransf"])
def test_a_head_without_weights_starts_as_the_text_tower(head, tmp_path):
    weights = read_clip4clip(save_clip4clip(tmp_path / "m"), head=head, cross_heads=4)
    state = weights.head.state_dict()
    block = next(key for key in state if key.endswith("resblocks.1.mlp.c_fc.weight"))
    clip = torch.load(tmp_path / "m", weights_only=True)
    assert torch.equal(state[block], clip["clip.transformer.resblocks.1.mlp.c_fc.weight"].float())
    positions = next(value for key, value in state.items() if "position_embeddings" in key)
    assert torch.equal(positions, clip["clip.positional_embedding"].float())
    assert not weights.trained


def test_the_candidates_are_put_in_the_order_of_the_pairwise_head(tmp_path):
    weights = read_clip4clip(save_clip4clip(tmp_path / "m", "tightTransf"), cross_heads=4)
    model = Clip4Clip(weights, None, "fp32", "cpu")
    generator = torch.Generator().manual_seed(0)
    text, frames = torch.randn(64, generator=generator), torch.randn(6, 3, 64, generator=generator)
    mask = torch.ones(6, 3)
    near = (pool_video(frames, mask) @ text).argsort(descending=True)
    scores = model.similarity(text[None], frames, mask)[0]
    order = rerank(model, text, frames, mask, top=4)
    assert order[:4].tolist() == sorted(near[:4].tolist(), key=lambda i: -scores[i])
    assert order[4:].tolist() == near[4:].tolist()


@pytest.mark.parametrize(("stored", "expected"), [({"a": torch.ones(1)}, "not the weights"), (None, "no such file")])
def test_another_file_is_refused(stored, expected, tmp_path):
    if stored is not None:
        torch.save(stored, tmp_path / "m")
    with pytest.raises(UsageError, match=expected):
        read_clip4clip(tmp_path / "m")


def resized(path: Path, head: str, changes: dict[str, tuple[str, int]]) -> Path:
    """A checkpoint whose tensors have other lengths in their first dimension, or their second after `:`."""
    state = torch.load(save_clip4clip(path, head), weights_only=True)
    for end, (axis, length) in changes.items():
        for name in [name for name in state if name.endswith(end)]:
            shape = list(state[name].shape)
            shape[int(axis)] = length
            state[name] = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.2
    torch.save(state, path)
    return path


SHORT = {"frame_position_embeddings.weight": ("0", 20), "cross.embeddings.position_embeddings.weight": ("0", 20)}
LONG = {**dict.fromkeys(SHORT, ("0", 128)), "clip.positional_embedding": ("0", 248)}
NARROW = {"mlp.c_fc.weight": ("0", 96), "mlp.c_fc.bias": ("0", 96), "mlp.c_proj.weight": ("1", 96)}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("changes", [SHORT, LONG, NARROW, {"clip.positional_embedding": ("0", 16)}])
def test_every_size_follows_from_the_tensors(head, changes, tmp_path):
    weights = read_clip4clip(resized(tmp_path / "m", head, changes), cross_heads=4)
    model = Clip4Clip(weights, clip_tokenizer(), "fp32", "cpu")
    clips = torch.randn(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    frames = model.encode_frames([list(clip) for clip in clips])
    texts = model.encode_texts(["a red dress " * 9])
    assert model.similarity(texts, *frames).shape == (1, 2)


def test_more_frames_than_positions_are_refused(tmp_path):
    resized(tmp_path / "m", "seqTransf", SHORT)
    clip_tokenizer().save_pretrained(tmp_path / "words")
    given = {"tokenizer": str(tmp_path / "words"), "device": "cpu"}
    assert embedder(str(tmp_path / "m"), frames="20", **given).name == "clip4clip-seqTransf"
    with pytest.raises(UsageError, match="has positions for 20 frames; give frames=20"):
        embedder(str(tmp_path / "m"), frames="21", **given)


@pytest.mark.parametrize("lost", ["clip.visual.proj", "clip.ln_final.bias", "transformerClip.resblocks.1.ln_2.weight"])
def test_a_weight_that_is_missing_is_named(lost, tmp_path):
    state = torch.load(save_clip4clip(tmp_path / "m", "seqTransf"), weights_only=True)
    del state[lost]
    torch.save(state, tmp_path / "m")
    with pytest.raises(UsageError, match=f"m: .*(is missing|{lost.rpartition('.')[2]})"):
        read_clip4clip(tmp_path / "m")


def test_weights_that_nothing_takes_are_named(tmp_path, capsys):
    state = torch.load(save_clip4clip(tmp_path / "m", "meanP"), weights_only=True)
    torch.save(state | {"clip.visual.extra": torch.zeros(1), "clip.other": torch.zeros(1)}, tmp_path / "m")
    read_clip4clip(tmp_path / "m")
    assert "2 weights of the file are not used: visual.extra, other" in capsys.readouterr().err
