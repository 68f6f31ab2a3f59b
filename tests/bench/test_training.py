"""A toy model is scored while it is trained: by a plain loop, and by the callbacks of two trainers."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rope.bench.evaluation import evaluate
from rope.bench.running.run import run_embedder
from rope.bench.training import Evaluator, embed_split, lightning_callback, trainer_callback
from rope.dataset.directory import iter_samples
from rope.errors import EmbeddingError, MissingExtraError, UsageError

torch = pytest.importorskip("torch", reason="torch is not installed")

N_BYTES = 16


def features(samples):
    """Of the sample ids, which end in a number: the toy learns nothing, and need not."""
    return torch.tensor([[*s.sample_id.encode().ljust(N_BYTES)] for s in samples], dtype=torch.float32)


class Toy(torch.nn.Module):
    """A layer, dropout, and a part that is frozen in evaluation mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(N_BYTES, 8)
        self.dropout = torch.nn.Dropout(0.5)
        self.frozen = torch.nn.Identity().eval()

    def forward(self, x=None, labels=None):
        return {"loss": (self.dropout(self.layer(x)) ** 2).mean()}

    def embed(self, samples):
        assert not torch.is_grad_enabled()
        return self.dropout(self.layer(features(samples)))


def embed(model, samples):
    assert not any(part.training for part in model.modules())
    return model.embed(samples)


@pytest.fixture
def toy():
    return Toy()


def full_score(model, dataset):
    model.eval()
    vectors = {}
    for domain in ("page", "video", "live"):
        (samples,) = iter_samples(dataset, domain, "validation", batch_size=100)
        with torch.no_grad():
            vectors[domain] = ([s.sample_id for s in samples], model.embed(samples))
    return evaluate(vectors, dataset)


def test_a_plain_loop_scores_the_steps_that_are_due(dataset, toy):
    told = []
    evaluator = Evaluator(dataset, every=2, log=lambda metrics, step: told.append((step, metrics)), batch_size=5)
    toy.eval()
    reports = [evaluator(step, toy.embed) for step in range(5)]
    assert [report is None for report in reports] == [True, True, False, True, False]
    full = full_score(toy, dataset)
    assert [step for step, _ in told] == [2, 4] == [*evaluator.history]
    assert told[0][1]["rope/R@1"] == full.headline == reports[2].headline
    assert told[0][1]["rope/V2P/MRR"] == full.pairs["V2P"]["MRR"]
    assert evaluator(4, toy.embed) is None  # once a step, though a loop with accumulation may call twice


def lengths(samples):
    return [1 + len(sample.text or "") % 3 for sample in samples]


@pytest.mark.parametrize("kind", ["roles", "many", "many in roles", "none"])
def test_roles_and_many_vectors_are_scored_as_in_a_run(dataset, toy, kind, tmp_path):
    def many(samples):
        rows = toy.embed(samples)
        n = [0 if kind == "none" and i == 0 else n for i, n in enumerate(lengths(samples))]
        return [row + torch.arange(m)[:, None] for row, m in zip(rows, n, strict=True)]

    def in_roles(samples, role):
        vectors = toy.embed(samples)
        return vectors if role == "gallery" else vectors.flip(1)

    def plain(samples):
        return many(samples)

    def short(samples, role):
        found = many(samples)
        return found if role == "gallery" else [one[:1] * 2 - 1 for one in found]

    embed = {"roles": in_roles, "many": plain, "many in roles": short, "none": plain}[kind]
    toy.eval()
    report = Evaluator(dataset, every=1, batch_size=5)(1, embed)

    class Model:
        name = "toy"
        fingerprint = kind

        def embed(self, samples):
            return [one.numpy() for one in embed(samples)]

    class InRoles(Model):
        def embed(self, samples, role):
            found = embed(samples, role)
            return found.numpy() if isinstance(found, torch.Tensor) else [one.numpy() for one in found]

    model = InRoles() if "roles" in kind else Model()
    with torch.no_grad():
        out = run_embedder(model, dataset, tmp_path / "e.parquet", batch_size=5, progress=False, check=False)
    as_run = evaluate(out, dataset, quick=True, missing="given")
    assert report.pairs == as_run.pairs
    assert report.provenance.embeddings == as_run.provenance.embeddings
    assert (report.provenance.embeddings["page"].n_query_vectors is not None) == ("roles" in kind)


def test_an_array_here_and_a_list_there_is_refused(dataset, toy):
    def embed(samples):
        vectors = toy.embed(samples)
        return vectors if len(samples) == 5 else [row[None] for row in vectors]

    with pytest.raises(EmbeddingError, match="an array for some samples and a list for others"):
        Evaluator(dataset, every=1, batch_size=5)(1, embed)
    with pytest.raises(EmbeddingError, match=r"1 arrays \[m, dim\], expected 5, one a sample"):
        Evaluator(dataset, every=1, batch_size=5)(1, lambda samples: [toy.embed(samples)])


def test_memory_that_a_model_uses_again_is_copied(dataset):
    buffer = np.zeros((5, N_BYTES), np.float32)

    def into_buffer(samples):
        buffer[: len(samples)] = features(samples).numpy()
        return torch.from_numpy(buffer)[: len(samples)]

    found = embed_split(into_buffer, dataset, "validation", batch_size=5)
    for domain, (ids, vectors) in found.items():
        (samples,) = iter_samples(dataset, domain, "validation", batch_size=100)
        assert ids == [sample.sample_id for sample in samples]
        np.testing.assert_array_equal(vectors, features(samples).numpy())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda samples: features(samples)[1:], r"an array \(\d, 16\), expected \[\d, dim\]"),
        (lambda samples: features(samples).long(), "type int64, expected floats"),
        (lambda samples: features(samples) * torch.nan, "NaN or infinity"),
    ],
)
def test_what_a_model_gives_is_checked(given, words, dataset):
    with pytest.raises(EmbeddingError, match=words):
        Evaluator(dataset, every=1, batch_size=5)(1, given)


def test_settings_that_mean_nothing_are_refused(dataset, tmp_path):
    for settings in ({"every": 0}, {"every": 1, "batch_size": 0}):
        with pytest.raises(UsageError, match="at least 1"):
            Evaluator(dataset, **settings)
    with pytest.raises(UsageError, match="no such directory"):
        Evaluator(tmp_path / "nowhere", every=1)


def test_the_trainer_of_transformers(dataset, toy, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    evaluator, modes = Evaluator(dataset, every=2), []

    class Watch(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **others):
            modes.append((model.training, model.frozen.training))

    trainer = transformers.Trainer(
        model=toy,
        args=transformers.TrainingArguments(
            str(tmp_path), max_steps=4, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True
        ),
        train_dataset=[{"x": torch.ones(N_BYTES), "labels": torch.ones(1)}] * 8,
        callbacks=[trainer_callback(evaluator, embed), Watch()],
    )
    trainer.train()
    assert [*evaluator.history] == [2, 4]
    assert modes == [(True, True)] * 4  # as Trainer had it
    logged = {entry["step"]: entry["rope/R@1"] for entry in trainer.state.log_history if "rope/R@1" in entry}
    assert logged == {step: report.headline for step, report in evaluator.history.items()}
    assert evaluator.history[4].pairs == full_quick(toy, dataset)


def full_quick(model, dataset):
    full = full_score(model, dataset).pairs
    return {
        name: {
            key: full[name][key] for key in ("n_queries", "R@1", "R@5", "R@10", "R@20", "R@50", "MRR", "median_rank")
        }
        for name in ("P2V", "V2P", "P2L", "L2P", "V2L", "L2V")
    }


def test_only_the_first_process_scores(dataset, toy):
    pytest.importorskip("transformers", reason="transformers is not installed")
    evaluator = Evaluator(dataset, every=1)
    state = SimpleNamespace(global_step=1, is_world_process_zero=False, log_history=[], epoch=0.0)
    trainer_callback(evaluator, embed).on_step_end(None, state, None, model=toy)
    assert (evaluator.history, state.log_history) == ({}, [])


def test_lightning_by_its_hook(dataset, toy, monkeypatch):
    lightning = ModuleType("lightning.pytorch")
    lightning.Callback = type("Callback", (), {"state_key": "x"})
    monkeypatch.setitem(sys.modules, "lightning.pytorch", lightning)
    logged, evaluator = {}, Evaluator(dataset, every=3)
    callback = lightning_callback(evaluator, embed)
    assert isinstance(callback, lightning.Callback)
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.update({step: metrics["rope/R@1"]}))
    toy.train()
    toy.frozen.eval()
    for step, is_first in ((1, True), (3, False), (3, True), (3, True)):
        trainer = SimpleNamespace(global_step=step, is_global_zero=is_first, logger=logger)
        callback.on_train_batch_end(trainer, toy, None, None, step)
    assert logged == {3: evaluator.history[3].headline}
    assert (toy.training, toy.dropout.training, toy.frozen.training) == (True, True, False)


def test_lightning_that_is_not_installed_is_said(dataset, monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(MissingExtraError, match="lightning_callback needs lightning"):
        lightning_callback(Evaluator(dataset, every=1), embed)
