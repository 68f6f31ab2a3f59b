"""CLAP with small random weights in the format of the real ones: what is heard of which sample."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel

pytest.importorskip("av")

from baselines import clap
from baselines.clap import windows
from rope.bench.io.readers import read_embeddings
from rope.bench.running.embedder import load_embedder
from rope.bench.running.run import run_embedder
from rope.dataset.build import build_dataset
from rope.domain import Audio, Sample, Video
from rope.encoders.running import without_bars
from rope.errors import DatasetError, UsageError
from rope.media.audio import decode_audio
from tests.baselines.checkpoints import bert_words, scrambled
from tests.dataset.conftest import jpeg
from tests.media.sounds import tone, write

RATE = 48_000


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["rand_trunc", "fusion"])
def folder(request, tmp_path_factory):
    """A model that takes one window, or fuses longer sounds, of 1 s."""
    return save(tmp_path_factory.mktemp(request.param), request.param)


def save(folder, truncation="rand_trunc", seed=0):
    words, fuses = bert_words(), truncation == "fusion"
    text = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 16, "max_position_embeddings": 12, "pad_token_id": 1}
    sound = {"depths": [1, 1], "num_attention_heads": [1, 2], "patch_embeds_hidden_size": 8, "hidden_size": 16}
    sound |= {"num_hidden_layers": 2, "window_size": 4, "spec_size": 64, "num_mel_bins": 16, "enable_fusion": fuses}
    model = ClapModel(ClapConfig(text_config=text, audio_config=sound, projection_dim=12))
    with without_bars():
        scrambled(model, seed).save_pretrained(folder)
    extractor = ClapFeatureExtractor(feature_size=16, max_length_s=1, fft_window_size=512, truncation=truncation)
    extractor.save_pretrained(folder)
    words[:2] = words[1::-1]  # the padding has number 1, as in RoBERTa
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return folder


def load(folder, **options):
    return clap.embedder(str(folder), **{"device": "cpu"} | options)


def heard(sample_id, seconds, hertz=440, text=None):
    return Sample(sample_id, "video", text, (), Video(write(tone(seconds, hertz))))


def silent(sample_id, text):
    return Sample(sample_id, "video", text, (), Video(write(None)))


def by_hand(folder, parts):
    """The mean of the vectors of windows, each prepared and heard alone, of length 1."""
    with without_bars():
        model, extractor = ClapModel.from_pretrained(folder).eval(), ClapFeatureExtractor.from_pretrained(folder)
    rows = []
    with torch.inference_mode():
        for part in parts:
            mel, _ = extractor._get_input_mel(part, RATE, extractor.truncation, "repeatpad")
            features = torch.tensor(np.array([mel]), dtype=torch.float32)
            rows.append(model.get_audio_features(features, is_longer=torch.tensor([[False]])).pooler_output[0].numpy())
    mean = np.mean(rows, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize(
    ("seconds", "starts"), [(0.3, [0]), (1.0, [0]), (1.5, [0, 0.5]), (3.0, [0, 1, 2]), (9.0, [0, 4, 8])]
)
def test_a_sound_is_the_mean_of_windows_that_cover_it(seconds, starts, folder):
    rising = np.concatenate([tone(seconds / 10, 200 * (i + 1)) for i in range(10)], axis=1)
    sample = Sample("1", "video", None, (), Video(write(rising)))
    stored = decode_audio(sample.video, RATE)
    expected = by_hand(folder, [stored[round(s * RATE) : round((s + 1) * RATE)] for s in starts])
    assert np.allclose(load(folder, clips="3").embed([sample])[0], expected, atol=1e-5)


def test_a_text_alone_is_the_vector_of_the_text_tower(folder):
    with without_bars():
        model, tokenizer = ClapModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        ids = torch.tensor([tokenizer("red 鞋")["input_ids"]])
        expected = model.get_text_features(ids).pooler_output.numpy()
    assert np.allclose(load(folder).embed([silent("1", "red 鞋")]), expected, atol=1e-6)
    assert load(folder).embed([silent("1", "a long text " * 9)]).shape == (1, 12)


@pytest.mark.parametrize(("text_weight", "share"), [("0", 0.0), ("0.3", 0.3), ("1", 1.0)])
def test_sound_and_text_are_mixed_by_weight(text_weight, share, folder):
    model = load(folder, text_weight=text_weight)
    sound, text = load(folder).embed([heard("1", 1.0), silent("2", "red dress")])
    mixed = (1 - share) * sound + share * text
    (found,) = model.embed([heard("1", 1.0, text="red dress")])
    assert np.allclose(found, mixed / np.linalg.norm(mixed), atol=1e-6)
    assert np.allclose(model.embed([heard("1", 1.0), silent("2", "red dress")]), [sound, text], atol=1e-6)


def test_batches_change_nothing(folder):
    given = [
        heard("1", 2.5),
        silent("2", "red"),
        heard("3", 0.4, 900, "a shoe"),
        silent("4", None),
        heard("5", 1.2, 300),
    ]
    together = load(folder).embed(given)
    alone = np.concatenate([load(folder, batch="1").embed([sample]) for sample in given])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert len(np.unique(together.round(4), axis=0)) == 5


def test_a_sample_with_neither_is_named_once_and_all_such_are_alike(folder, capsys):
    model = load(folder)
    vectors = model.embed([silent("7", None), silent("8", "red"), Sample("9", "page", None, ())])
    model.embed([silent("10", None)])
    assert np.array_equal(vectors[0], vectors[2])
    assert capsys.readouterr().err == "clap: video 7 has neither sound nor a text; all such get the same vector\n"


def test_a_sound_file_beside_frames_is_heard(folder):
    file = Audio(write(tone(1.0), codec="pcm_s16le", container="wav", n_frames=0))
    found = load(folder).embed([Sample("1", "live", None, (), None, file), heard("2", 1.0)])
    assert np.allclose(found[0], found[1], atol=1e-4)


def test_a_damaged_sound_is_named(folder):
    with pytest.raises(DatasetError, match=r"video 3: embedded video: is truncated"):
        load(folder).embed([Sample("3", "video", None, (), Video(write(tone(1.0))[:-100]))])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"frames": "4"}, "unknown option 'frames'; expected some of model, clips, batch, text_weight"),
        ({"clips": "0"}, "clips is 0; expected a whole number, at least 1"),
        ({}, "transformers cannot load it"),
    ],
)
def test_what_does_not_fit_is_named(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        load(tmp_path, **options)


def test_videos_and_live_clips_of_one_sound_find_each_other(folder, tmp_path):
    """Eight products, each with its own pitch: in a video, and quieter beside the image of a live clip."""
    release, rows = tmp_path / "release", ["domain,sample_id,product_id"]
    for i in range(8):
        sound, page = tone(1.5, 200 * (i + 1)), {f"pages/p{i}.jpg": jpeg(20 * i), f"lives/l{i}.jpg": jpeg(20 * i)}
        quieter = write(0.6 * sound, codec="pcm_s16le", container="wav", n_frames=0)
        for name, content in (
            page | {f"videos/v{i}.mp4": write(sound, codec="aac"), f"lives/l{i}.wav": quieter}
        ).items():
            (release / name).parent.mkdir(parents=True, exist_ok=True)
            (release / name).write_bytes(content)
        rows += [f"page,p{i},{i}", f"video,v{i},{i}", f"live,l{i},{i}"]
    (release / "samples.csv").write_text("\n".join(rows))
    build_dataset(release, tmp_path / "data", progress=False)
    out = run_embedder(load(folder), tmp_path / "data", tmp_path / "clap.parquet", progress=False)
    vectors = read_embeddings([out])
    similar = vectors["video"].vectors @ vectors["live"].vectors.T
    assert np.sum(similar.argmax(axis=1) == np.arange(8)) >= 6


def test_it_is_found_by_name(folder):
    model = load_embedder(f"baselines:clap?model={folder}&device=cpu&clips=2")
    assert model.name == "clap"
    assert model.fingerprint != load(folder).fingerprint == load(folder).fingerprint


@pytest.mark.parametrize(
    ("length", "n", "starts"), [(0, 3, []), (3, 3, [0]), (9, 3, [0, 2, 5]), (30, 3, [0, 13, 26]), (5, 1, [0])]
)
def test_windows_cover_a_short_sound_and_are_spread_over_a_long_one(length, n, starts):
    found = windows(np.arange(length, dtype=np.float32), 4, n)
    assert [int(part[0]) for part in found] == starts
    assert all(len(part) == min(4, length) for part in found)
