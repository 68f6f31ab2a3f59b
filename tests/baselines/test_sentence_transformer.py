import importlib.util
import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

from baselines import llm_text, transformers_model
from baselines.sentence_transformer import embedder
from rope.bench.evaluation import evaluate
from rope.bench.io.readers import read_embeddings
from rope.bench.running.embedder import has_roles
from rope.bench.running.run import run_embedder
from rope.errors import UsageError
from tests.baselines.checkpoints import bert_words, save_clip, scrambled
from tests.baselines.samples import samples
from tests.bench.running.test_run import write_dataset

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
    """A model of texts only: a BERT and the mean of its states."""
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


def prompted(folder, **prompts):
    """The same model with prompts in its settings."""
    settings = folder / "config_sentence_transformers.json"
    content = json.loads(settings.read_text("utf-8"))
    settings.write_text(json.dumps(content | {"prompts": prompts}), "utf-8")
    return str(folder)


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_model_with_prompts_for_queries_is_asked_in_roles(tmp_path):
    plain = save_texts(tmp_path)
    given = samples("page", 3)
    alone = embedder(str(plain), device="cpu")
    assert not has_roles(alone)
    model = embedder(prompted(plain, query="一张", document=""), device="cpu")
    assert has_roles(model)
    assert np.array_equal(model.embed(given, role="gallery"), alone.embed(given))
    by_hand = embedder(prompted(plain, query="", document=""), device="cpu", template="一张{}").embed(given)
    assert np.allclose(model.embed(given, role="query"), by_hand, atol=1e-6)
    assert not np.allclose(by_hand, alone.embed(given))
    assert not has_roles(embedder(prompted(plain, query="一张"), device="cpu", roles="one"))


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_prompts_can_be_given_by_role_and_domain(tmp_path):
    folder = str(save_texts(tmp_path))
    model = embedder(folder, device="cpu", query_prompt="一张", query_prompt_video="红色")
    for domain, prompt in (("page", "一张"), ("video", "红色"), ("live", "一张")):
        given = samples(domain, 2)
        expected = embedder(folder, device="cpu", template=f"{prompt}{{}}").embed(given)
        assert np.allclose(model.embed(given, role="query"), expected, atol=1e-6)
        assert np.allclose(model.embed(given, role="gallery"), embedder(folder, device="cpu").embed(given), atol=1e-6)
    assert model.fingerprint != embedder(folder, device="cpu", query_prompt="一张").fingerprint
    for wrong, words in [
        ({"query_prompt": "a", "roles": "one"}, "prompts are given for the roles"),
        ({"roles": "three"}, "is not one of auto, one, two"),
        ({"query_prompt_videos": "a"}, "ends in s"),
    ]:
        with pytest.raises(UsageError, match=words):
            embedder(folder, device="cpu", **wrong)


def save_late(folder):
    """A late-interaction model as sentence-transformers saves it: a vector a token."""
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(save_texts(folder) / ".." / "bert"), device="cpu")
    model.prompts = {"query": "一张", "document": ""}
    model.save(str(folder / "late"))
    return folder / "late"


def has_late():
    if not INSTALLED:
        return False
    import sentence_transformers

    return hasattr(sentence_transformers, "MultiVectorEncoder")


needs_late = pytest.mark.skipif(not has_late(), reason="sentence-transformers has no MultiVectorEncoder")


@needs_late
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_late_interaction_model_gives_all_its_vectors(tmp_path):
    from sentence_transformers import MultiVectorEncoder

    folder = str(save_late(tmp_path))
    model, theirs = embedder(folder, device="cpu"), MultiVectorEncoder(folder, device="cpu")
    given = [*samples("page", 3), *samples("page", 1, text=None, seed=1)]
    for role, call in (("query", theirs.encode_query), ("gallery", theirs.encode_document)):
        found = model.embed(given, role=role)
        expected = call([sample.text for sample in given[:3]], convert_to_numpy=True)
        for mine, other in zip(found, expected, strict=False):
            assert mine.shape == other.shape
            assert np.allclose(mine, other, atol=1e-5)
        assert found[3].shape[0] == 0
    queries, gallery = (model.embed(given[:3], role=role) for role in ("query", "gallery"))
    ours = [[(query @ sample.T).max(axis=1).mean() for sample in gallery] for query in queries]
    texts = [sample.text for sample in given[:3]]
    scores = theirs.similarity(theirs.encode_query(texts), theirs.encode_document(texts)).cpu().numpy()
    lengths = np.array([len(query) for query in queries])
    assert np.allclose(ours, scores / lengths[:, None], atol=1e-5)


@needs_late
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_late_interaction_model_runs_and_is_scored(tmp_path):
    model = embedder(str(save_late(tmp_path)), device="cpu")
    data = write_dataset(tmp_path / "data", counts={"page": 12, "video": 9, "live": 7})
    done = []
    out = run_embedder(model, data, tmp_path / "e.parquet", batch_size=4, progress=False, report=done.append)
    assert done[0].difference < 1e-5
    rows = read_embeddings([out], any_number=True)["page"]
    assert rows.offsets[-1] > 12 < rows.queries.offsets[-1]
    report = evaluate(out, data)
    assert 0 <= report.headline <= 1
    assert report.to_dict()["embeddings"]["page"]["n_vectors"] == rows.offsets[-1]


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config_sentence_transformers.json", {"model_type": "MultiVectorEncoder"}, "saved as a MultiVectorEncoder"),
        ("config_sentence_transformers.json", {"query_prefix": "[Q] "}, "that of PyLate"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "MaxSim"}, "that of PyLate"),
        ("config.json", {"architectures": ["ColQwen2_5"]}, "architecture is ColQwen2_5"),
        ("config.json", {"model_type": "colpali"}, "architecture is colpali"),
    ],
)
def test_many_vectors_are_never_pooled_in_silence(file, change, words, tmp_path, monkeypatch):
    import sentence_transformers

    monkeypatch.delattr(sentence_transformers, "MultiVectorEncoder", raising=False)
    folder = save_texts(tmp_path)
    content = json.loads((folder / file).read_text("utf-8"))
    (folder / file).write_text(json.dumps(content | change), "utf-8")
    with pytest.raises(UsageError, match=f"{words}.*never averaged"):
        embedder(str(folder), device="cpu")
    for other in (transformers_model.embedder, llm_text.embedder):
        with pytest.raises(UsageError, match=f"{words}.*never averaged; run it with --model 'baselines:sentence_tr"):
            other(str(folder))
    with pytest.raises(UsageError, match=f"{words}.*leave out pool"):
        embedder(str(folder), device="cpu", pool="mean")
