"""The re-rankers: a cross-encoder in its real format, and the floor."""

import importlib.util

import numpy as np
import pytest
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from baselines.evidence import HandmadeEvidence
from rope.bench.rerank.reranker import find_reranker
from rope.errors import UsageError
from tests.baselines.checkpoints import bert_words, scrambled
from tests.baselines.samples import samples

INSTALLED = importlib.util.find_spec("sentence_transformers") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="sentence-transformers is not installed")


def save_cross_encoder(folder, n_labels=1):
    config = BertConfig(
        vocab_size=len(bert_words()), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=n_labels
    )
    scrambled(BertForSequenceClassification(config), 0).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(bert_words())}).save_pretrained(folder)
    return folder


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_cross_encoder_scores_both_texts_together(tmp_path):
    folder = save_cross_encoder(tmp_path / "model")
    model, _ = find_reranker(f"baselines:cross_encoder?model={folder}&device=cpu")
    queries, candidates = samples("page", 4), samples("video", 4, seed=1, text="blue shirt {}")
    scores = model.score(queries, candidates)
    assert (model.name, scores.shape, len(set(scores.tolist()))) == ("model", (4,), 4)
    alone = np.concatenate([model.score([a], [b]) for a, b in zip(queries, candidates, strict=True)])
    assert np.allclose(scores, alone, atol=1e-5)
    assert not np.allclose(scores, model.score(candidates, queries), atol=1e-5)
    silent = samples("video", 4, text=None)
    assert np.isnan(model.score(queries, silent)).all()
    assert np.array_equal(np.isnan(model.score(queries, [candidates[0], *silent[1:]])), [False, True, True, True])


@needs_package
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_classifier_of_several_labels_is_refused(tmp_path):
    folder = save_cross_encoder(tmp_path / "model", 3)
    with pytest.raises(UsageError, match="gives 3 numbers for a pair of texts, and a re-ranker gives one"):
        find_reranker(f"baselines:cross_encoder?model={folder}&device=cpu")


@pytest.mark.skipif(INSTALLED, reason="sentence-transformers is installed")
def test_the_missing_package_is_named():
    with pytest.raises(UsageError, match=r"pip install 'rope-bench\[baselines\]'"):
        find_reranker("baselines:cross_encoder?model=x")


def test_hand_made_evidence_knows_a_copy_and_a_shared_text():
    evidence = HandmadeEvidence()
    one = samples("page", 2)
    same, other = evidence.score(one, one), evidence.score(one, one[::-1])
    assert np.allclose(same, 2)
    assert (other < same).all()
    said = samples("page", 1, text="red dress"), samples("page", 1, text="the RED ｄｒｅｓｓ 7")
    assert evidence.score(*said)[0] == pytest.approx(2)
    assert evidence.score(one[:1], samples("video", 1, seed=1, n_frames=3, text=None))[0] < 1
