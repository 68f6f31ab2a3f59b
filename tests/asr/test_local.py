"""A language model of random weights, made here: what goes in and what comes out, not what it says."""

import pytest

pytest.importorskip("transformers")

from transformers import AutoTokenizer, BertTokenizer, LlamaConfig, LlamaForCausalLM

from rope.asr.local import LocalModel
from rope.asr.prompt import load_prompt
from rope.errors import UsageError

TEMPLATE = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of one layer, whose tokens are letters."""
    import torch

    path = tmp_path_factory.mktemp("model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij", *(f"##{c}" for c in "abcdefghij")]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=2048, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def ask(model, texts):
    prompt, kept = load_prompt("en", max_characters=50), {}
    lost = model.answer([prompt.conversation(text) for text in texts], lambda i, answer: kept.update({i: answer}))
    assert lost == []
    return [kept[i] for i in range(len(texts))]


def test_every_text_gets_an_answer_that_does_not_depend_on_the_batch(folder):
    texts = ["a cab", "a bad badge", "head", "a fig", "dig"]
    together = ask(LocalModel(str(folder), device="cpu", max_tokens=6, batch_size=3), texts)
    alone = ask(LocalModel(str(folder), device="cpu", max_tokens=6, batch_size=1), texts)
    assert together == alone
    assert all(answer.text and 1 <= answer.completion_tokens <= 6 for answer in together)
    assert all(answer.prompt_tokens > 100 for answer in together)


def test_no_model_here(tmp_path):
    with pytest.raises(UsageError, match="AutoModelForCausalLM of transformers cannot load it"):
        LocalModel(str(tmp_path))


def test_a_model_that_cannot_chat_is_refused(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.chat_template is None
    with pytest.raises(UsageError, match="has no chat template"):
        LocalModel(str(tmp_path / "model"))
