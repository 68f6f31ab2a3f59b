"""Texts through small random language models in the format of real ones."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    Qwen2Config,
    Qwen2Model,
)

from baselines import llm_text
from rope.bench.io.readers import read_embeddings
from rope.bench.running.embedder import load_embedder
from rope.encoders.running import without_bars
from rope.errors import UsageError
from tests.baselines.checkpoints import bert_words, scrambled
from tests.baselines.samples import samples

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
TEXTS = ["a red dress", "鞋", "a long and winding text about red shoes", "a b", "red"]
_WIDTHS = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save(folder, kind="qwen2", padding_side="left", pad_token="[PAD]"):
    words = bert_words()
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, padding_side=padding_side)
    tokenizer.pad_token, tokenizer.eos_token = pad_token, "[SEP]"
    ids = {"vocab_size": len(words), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    model = {
        "qwen2": lambda: Qwen2Model(Qwen2Config(num_key_value_heads=1, **_WIDTHS, **ids)),
        "llama": lambda: LlamaModel(LlamaConfig(**_WIDTHS, **ids)),
        "gpt2": lambda: GPT2Model(GPT2Config(n_embd=24, n_layer=2, n_head=2, **ids)),
        "bert": lambda: BertModel(BertConfig(vocab_size=len(words), **_WIDTHS)),
    }[kind]()
    with without_bars():
        scrambled(model, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder, **options):
    return llm_text.embedder(str(folder), **{"device": "cpu", "precision": "fp32"} | options)


def by_hand(folder, texts):
    """Each text only, so that nothing is padded."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    rows = []
    with torch.inference_mode():
        for text in texts:
            states = model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0].double().numpy()
            rows.append(states.mean(axis=0) / np.linalg.norm(states.mean(axis=0)))
    return np.stack(rows)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2", "bert"])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_text_is_the_mean_of_its_own_last_states(kind, padding_side, tmp_path):
    found = load(save(tmp_path, kind, padding_side)).encode(TEXTS)
    assert found.dtype == np.float32
    assert np.allclose(found, by_hand(tmp_path, TEXTS), atol=2e-6)


@pytest.mark.parametrize("batch", ["1", "2", "16"])
def test_batches_change_nothing(batch, tmp_path):
    save(tmp_path)
    assert np.allclose(load(tmp_path, batch=batch).encode(TEXTS), load(tmp_path).encode(TEXTS), atol=1e-6)


def test_a_model_without_a_padding_token_pads_with_the_end(tmp_path):
    save(tmp_path, pad_token=None)
    assert np.allclose(load(tmp_path).encode(TEXTS), by_hand(tmp_path, TEXTS), atol=2e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_fewer_bits_give_nearly_the_same(precision, tmp_path):
    save(tmp_path)
    found, exact = load(tmp_path, precision=precision).encode(TEXTS), load(tmp_path).encode(TEXTS)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.05


def test_samples_are_read_through_the_template(tmp_path):
    model = load_embedder(f"baselines:llm_text?model={save(tmp_path)}&template=red {{}}&device=cpu&precision=fp32")
    given = [*samples("page", 2, text="shoe {}"), *samples("live", 1, text=None)]
    assert np.array_equal(model.embed(given), model.encode(["red shoe 0", "red shoe 1", "red 空"]))
    assert model.embed([]).shape == (0, 0)
    assert model.name == tmp_path.name


def test_items_that_are_texts_alone_become_a_file_of_embeddings(tmp_path, monkeypatch):
    (code,) = re.findall(
        r"```python\n(.*?llm_text.*?)```", PAGE.split("## Texts through a language model")[1], re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Beauty").mkdir()
    (tmp_path / "Beauty" / "meta_data.json").write_text('{"b1": {"title": "red"}, "b2": {"brand": "a"}}')
    exec(code.replace("Qwen/Qwen2.5-7B", str(save(tmp_path / "model"))))
    stored = read_embeddings([tmp_path / "items.npz"])["page"]
    assert list(stored.sample_ids) == ["b1", "b2"]
    assert stored.vectors.shape == (2, 24)


def test_long_texts_are_cut(tmp_path):
    model = load(save(tmp_path), max_tokens="5")
    assert np.allclose(*model.encode(["a b c d e f", "a b c x y z"]), atol=1e-6)
    assert not np.allclose(*model.encode(["a b d", "a b c"]), atol=1e-3)


def test_the_fingerprint_is_of_all_that_moves_a_number(tmp_path):
    save(tmp_path)
    changed = [{"template": "a {}"}, {"max_tokens": "9"}, {"precision": "bf16"}, {"batch": "3"}]
    assert len({load(tmp_path, **options).fingerprint for options in [{}, *changed]}) == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"template": "red"}, "has no {} instead of the text"),
        ({"max_tokens": "0"}, "max_tokens is 0; expected a whole number, at least 1"),
        ({"batch": "x"}, "batch is 'x'; expected a whole number"),
        ({}, "transformers cannot load it"),
    ],
)
def test_what_does_not_fit_is_named(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        load(tmp_path, **options)


def test_a_text_of_no_tokens_is_named(tmp_path):
    model = load(save(tmp_path))
    model._tokenizer = lambda texts, **_: {"input_ids": [[] for _ in texts]}
    with pytest.raises(UsageError, match="makes nothing of ''"):
        model.encode([""])
