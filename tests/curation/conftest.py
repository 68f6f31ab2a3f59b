"""What the tests of several modules run."""

import sys

import pytest

from rope.cli import main


@pytest.fixture(scope="session")
def tiny_chinese_clip(tmp_path_factory):
    """The folder of a Chinese-CLIP of random weights in transformers' format."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdeprtu", *(f"##{c}" for c in "abcdeprtu")]
    config = transformers.ChineseCLIPConfig(
        text_config={**sizes, "vocab_size": len(words), "max_position_embeddings": 52},
        vision_config={**sizes, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    torch.manual_seed(0)
    transformers.ChineseCLIPModel(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return folder


@pytest.fixture
def curate(monkeypatch, capsys):
    """Runs `rope curate`; returns its exit code and what it wrote to stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rope", "curate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run
