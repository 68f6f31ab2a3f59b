import pytest

from cope.titles import EMPTY_TEXT, character_tokenizer, load_tokenizer, tokenize
from rope.errors import UsageError


def tokens(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])[1:-1]


def test_characters_are_tokens_whatever_the_order_of_the_texts():
    texts = ["红茶杯 ab", "Ab c", None, "杯"]
    made, again = character_tokenizer(texts, 1000), character_tokenizer(texts[::-1], 1000)
    assert made.get_vocab() == again.get_vocab()
    assert tokens(made, "茶杯 AB?") == ["茶", "杯", "a", "##b", "[UNK]"]


def test_a_small_vocabulary_keeps_the_most_frequent_characters():
    tokenizer = character_tokenizer(["aaab", EMPTY_TEXT * 3], 9)
    assert len(tokenizer) == 9
    assert tokens(tokenizer, "a b") == ["a", "[UNK]"]


def test_texts_are_cut_and_padded_and_none_is_the_empty_text():
    tokenizer = character_tokenizer(["abcdefgh"], 100)
    tokenizer.model_max_length = 5
    made = tokenize(tokenizer, ["abcdefgh", "a", None])
    assert made.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert tokenizer.convert_ids_to_tokens(made.input_ids[0].tolist()) == ["[CLS]", "a", "##b", "##c", "[SEP]"]
    assert made.input_ids[2, 1] == tokenizer.convert_tokens_to_ids(EMPTY_TEXT)


def test_equal_texts_are_cut_once(monkeypatch):
    tokenizer = character_tokenizer(["abc"], 100)
    texts, asked = ["abc", None, "a", None, "abc"], list[str]()
    one_by_one = [tokenize(tokenizer, [text]).input_ids[0].tolist() for text in texts]
    whole = type(tokenizer).__call__
    monkeypatch.setattr(
        type(tokenizer), "__call__", lambda self, given, **o: asked.extend(given) or whole(self, given, **o)
    )
    made = tokenize(tokenizer, texts)
    assert asked == ["abc", EMPTY_TEXT, "a"]
    kept = [ids[mask.bool()].tolist() for ids, mask in zip(made.input_ids, made.attention_mask, strict=True)]
    assert kept == one_by_one


def test_a_saved_tokenizer_is_the_same(tmp_path):
    tokenizer = character_tokenizer(["a cup"], 100)
    tokenizer.model_max_length = 4
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert tokenize(loaded, ["a cup"]).input_ids.tolist() == tokenize(tokenizer, ["a cup"]).input_ids.tolist()


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer can be loaded"):
        load_tokenizer(tmp_path)
