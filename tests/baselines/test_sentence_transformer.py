import importlib.util
import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

from baselines.sentence_transformer import embedder
from rope.errors import UsageError
from tests.baselines.checkpoints import bert_words, save_clip, scrambled
from tests.baselines.samples import samples

INSTALLED = importlib.util.find_spec("sentence_transformers") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="sentence-transformers is not installed")


@pytest.mark.skipif(INSTALLED, reason="sentence-transformers is installed")
def test_the_missing_package_is_named():
    with pytest.raises(UsageError, match=r"pip install 'rope-bench\[baselines\]'"):
        embedder("any")


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_clip_of_sentence_transformers_is_an_embedder(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import CLIPModel
    from transformers import CLIPImageProcessor, CLIPProcessor

    from tests.baselines.checkpoints import clip_tokenizer

    folder = save_clip(tmp_path / "clip")
    CLIPProcessor(CLIPImageProcessor.from_pretrained(folder), clip_tokenizer()).save_pretrained(folder)
    SentenceTransformer(modules=[CLIPModel(str(folder))], device="cpu").save(str(tmp_path / "st"))
    model = embedder(str(tmp_path / "st"), device="cpu")
    given = samples("video", 3, n_frames=2)
    assert np.allclose(model.embed(given), np.concatenate([model.embed([one]) for one in given]), atol=1e-5)


def save_texts(folder, kind=BertModel):
    """A model of texts alone: a BERT and the mean of its states."""
    from sentence_transformers import SentenceTransformer, models

    config = BertConfig(vocab_size=len(bert_words()), hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    scrambled(kind(config), 0).save_pretrained(folder / "bert")
    BertTokenizer(vocab={word: i for i, word in enumerate(bert_words())}).save_pretrained(folder / "bert")
    parts = [models.Transformer(str(folder / "bert")), models.Pooling(32, "mean")]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder / "st"))
    return folder / "st"


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_model_of_texts_alone_embeds_the_texts(tmp_path, capsys):
    folder = save_texts(tmp_path, BertForMaskedLM)  # without a pooler, which nothing here looks at
    model = embedder(str(folder), device="cpu")
    given = [*samples("page", 2), *samples("page", 2, text=None, seed=1)]
    found = model.embed(given)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found, np.concatenate([model.embed([one]) for one in given]), atol=1e-5)
    assert np.allclose(found[2], found[3])
    assert not np.allclose(found[0], found[1])
    assert "page 0 has no text that is read; all such get one vector" in capsys.readouterr().err
    with pytest.raises(UsageError, match="takes texts and no images"):
        embedder(str(folder), device="cpu", text_weight="0.5")


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config_sentence_transformers.json", {"prompts": {"query": "query: "}, "default_prompt_name": "query"}),
        ("config_sentence_transformers.json", {"truncate_dim": 8}),
        (
            "1_Pooling/config.json",
            {"pooling_mode": "cls", "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        ),
        ("config.json", {"hidden_act": "relu"}),
    ],
)
def test_any_setting_of_the_model_is_in_the_fingerprint(name, change, tmp_path):
    folder = save_texts(tmp_path)
    before = embedder(str(folder), device="cpu").fingerprint
    (folder / "README.md").write_text("another text", "utf-8")
    assert embedder(str(folder), device="cpu").fingerprint == before
    content = json.loads((folder / name).read_text("utf-8"))
    (folder / name).write_text(json.dumps(content | change), "utf-8")
    assert embedder(str(folder), device="cpu").fingerprint != before


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_weights_that_its_checkpoint_lacks_are_named(tmp_path):
    folder = save_texts(tmp_path)
    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if name.endswith("layer.0.output.dense.weight"))
    save_file(
        {name: weight for name, weight in state.items() if name != lost}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UsageError, match=r"lacks 1 weight of the model: .*layer\.0\.output\.dense\.weight"):
        embedder(str(folder), device="cpu")
