"""A speech model of random weights, made here: what goes in and what comes out, not what it says."""

import numpy as np
import pytest

pytest.importorskip("transformers")

from rope.asr.whisper import Whisper
from rope.errors import UsageError
from tests.asr.speech_models import LENGTH, save_whisper
from tests.media.sounds import tone

RATE = 16_000
SOUNDS = [
    tone(3, 440, RATE)[0],
    np.zeros(RATE, np.float32),
    tone(30, 900, RATE)[0],
    np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_whisper(tmp_path_factory.mktemp("model"))


def load(folder, **options) -> Whisper:
    return Whisper(str(folder), **{"language": "zh", "device": "cpu"} | options)


def test_a_text_depends_on_its_own_sound_alone(folder):
    together = load(folder, batch_size=3).hear(SOUNDS)
    assert together == [text for sound in SOUNDS for text in load(folder, batch_size=1).hear([sound])]
    assert [bool(text) for text in together] == [True, False, True, True]
    assert len(set(together)) == 4


def test_the_text_is_what_the_likeliest_tokens_say(folder):
    """By a loop of our own: the start tokens, then the best word that is not held back, until the end."""
    import torch

    model = load(folder)
    whole, config = model._model, model._model.generation_config
    features = model._processor(SOUNDS[0], sampling_rate=RATE, return_tensors="pt")["input_features"]
    heard = whole.get_encoder()(features)
    known = model._processor.tokenizer.get_vocab()
    ids = [known[f"<|{word}|>"] for word in ("startoftranscript", "zh", "transcribe", "notimestamps")]
    while len(ids) < LENGTH and ids[-1] != config.eos_token_id:
        logits = whole(encoder_outputs=heard, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
        logits[config.suppress_tokens] = -np.inf
        ids.append(int(logits.argmax()))
    assert model.hear([SOUNDS[0]]) == [model._processor.decode(ids, skip_special_tokens=True)]


@pytest.mark.parametrize(
    ("sharp", "silent", "speaks"), [(2.0, 0.0, True), (2.0, 60.0, True), (0.03, 0.0, True), (0.03, 20.0, False)]
)
def test_nobody_speaks_where_the_model_thinks_so_and_is_unsure_of_its_words(sharp, silent, speaks, tmp_path):
    model = load(save_whisper(tmp_path, sharp=sharp, silent=silent))
    assert [bool(text) for text in model.hear(SOUNDS)] == [speaks, False, speaks, speaks]


def test_a_text_that_goes_round_in_circles_is_none(folder, monkeypatch):
    model = load(folder)
    monkeypatch.setattr(model, "_batch", lambda sounds: ["thank you for watching " * 9, " a cup ", "x", "y"])
    assert model.hear([SOUNDS[0]] * 4) == ["", "a cup", "x", "y"]


def test_the_language_counts(folder):
    assert load(folder, language="en").hear(SOUNDS) != load(folder, language="zh").hear(SOUNDS)
    assert all(load(folder, language="auto").hear(SOUNDS[:1]))


@pytest.mark.parametrize(
    ("is_multilingual", "language", "says"),
    [(True, "xx", "does not know the language 'xx'; it knows en, zh"), (False, "zh", "knows only English")],
)
def test_a_language_that_the_model_does_not_know_is_refused(is_multilingual, language, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        load(save_whisper(tmp_path, is_multilingual=is_multilingual), language=language)


def test_a_model_of_english_alone_is_not_told_the_language(tmp_path):
    model = load(save_whisper(tmp_path, is_multilingual=False), language="en")
    assert [bool(text) for text in model.hear(SOUNDS)] == [True, False, True, True]


def test_the_fingerprint_is_of_all_that_decides(folder, tmp_path):
    models = [
        load(folder),
        load(folder, language="en"),
        load(folder, precision="bf16"),
        load(save_whisper(tmp_path, sharp=1)),
    ]
    assert len({model.fingerprint for model in models}) == 4
    assert load(folder).fingerprint == models[0].fingerprint


def test_no_model_here(tmp_path):
    with pytest.raises(UsageError, match="WhisperForConditionalGeneration of transformers cannot load it"):
        load(tmp_path)
