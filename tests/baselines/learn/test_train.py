import json

import numpy as np
import pytest
import torch

from baselines.learn import train as training
from baselines.learn.config import LearnConfig, LearnRecipe
from baselines.learn.data import draw_batch
from baselines.learn.embed import embed_items, embed_users
from baselines.learn.model import Learn
from baselines.learn.train import load_trained, objective, train
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.interactions import Sequences, leave_one_out
from rope.bench.recommend.score import score
from rope.bench.recommend.users import mean_of_history
from rope.errors import DatasetError, RopeError, UsageError
from rope.synthetic.interactions import Planted, plant_interactions

SMALL = LearnConfig(input_dim=32, output_dim=16, width=16, heads=2, mlp_width=16, layers=1)
PLANTED = plant_interactions(Planted(n_users=60, n_items=60, mean_length=7), seed=1)
TAKEN = PLANTED.interactions.taken


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads that wait for each other cost more than such small models gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(**changes) -> LearnRecipe:
    fields = {"model": SMALL, "seed": 0, "epochs": 2, "batch_size": 20, "learning_rate": 1e-3, "save_steps": 2}
    return LearnRecipe(**(fields | changes))


def weights(folder) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("kind", ["in_batch", "dense", "full_gallery"])
def test_a_run_that_stopped_ends_with_the_same_bytes(kind, tmp_path):
    train(PLANTED.content, TAKEN, tmp_path / "whole", recipe(objective=kind), progress=False)
    for stop_after in (1, 4, None):
        train(PLANTED.content, TAKEN, tmp_path / "parts", recipe(objective=kind), stop_after=stop_after, progress=False)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 6


def test_a_killed_run_forgets_the_steps_after_its_last_state(tmp_path):
    train(PLANTED.content, TAKEN, tmp_path / "run", recipe(), stop_after=2, progress=False)
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "loss": 0.0, "rate": 0.0}\n')
    train(PLANTED.content, TAKEN, tmp_path / "run", recipe(), progress=False)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_line_of_the_log_that_a_kill_has_cut_is_forgotten(tmp_path):
    train(PLANTED.content, TAKEN, tmp_path / "run", recipe(), stop_after=2, progress=False)
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "lo')
    train(PLANTED.content, TAKEN, tmp_path / "run", recipe(), progress=False)
    train(PLANTED.content, TAKEN, tmp_path / "whole", recipe(), progress=False)
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()


def test_a_loss_that_is_no_number_takes_no_batch_from_the_run(tmp_path, monkeypatch):
    real, calls = training.objective, []

    def broken(*arguments):
        calls.append(0)
        return real(*arguments) * (float("nan") if len(calls) == 4 else 1)

    monkeypatch.setattr(training, "objective", broken)
    with pytest.raises(RopeError, match="the loss of step 4 is nan; the state before it is saved"):
        train(PLANTED.content, TAKEN, tmp_path / "run", recipe(save_steps=1000), progress=False)
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 3
    train(PLANTED.content, TAKEN, tmp_path / "run", recipe(save_steps=1000), progress=False)
    train(PLANTED.content, TAKEN, tmp_path / "whole", recipe(save_steps=1000), progress=False)
    for name in ("model.pt", "log.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_fine_tuning_begins_with_the_weights_of_pre_training(tmp_path):
    train(PLANTED.content, TAKEN, tmp_path / "pre", recipe(objective="in_batch"), progress=False)
    slow = recipe(learning_rate=1e-12)
    train(PLANTED.content, TAKEN, tmp_path / "fine", slow, first_weights=tmp_path / "pre", progress=False)
    before, after = weights(tmp_path / "pre"), weights(tmp_path / "fine")
    assert all(torch.allclose(before[name], after[name], atol=1e-8) for name in before)


@pytest.mark.parametrize(
    ("changes", "content", "message"),
    [
        ({"seed": 1}, PLANTED.content, "holds a run of LEARN of something else: seed is 0 there and 1 now"),
        ({}, PLANTED.content + 1, "was started with other vectors"),
        ({}, PLANTED.content[:, :8].copy(), "input_dim 32: the vectors have 8 dimensions"),
    ],
)
def test_a_run_is_not_continued_as_another(changes, content, message, tmp_path):
    train(PLANTED.content, TAKEN, tmp_path, recipe(), stop_after=1, progress=False)
    with pytest.raises(UsageError, match=message):
        train(content, TAKEN, tmp_path, recipe(**changes), progress=False)


@pytest.mark.parametrize("damage", [b"", b"no state", b"PK\x03\x04"])
def test_a_damaged_state_is_named(damage, tmp_path):
    train(PLANTED.content, TAKEN, tmp_path, recipe(), stop_after=1, progress=False)
    (tmp_path / "state.pt").write_bytes(damage)
    with pytest.raises(RopeError, match=r"state\.pt: .*; delete it to start over"):
        train(PLANTED.content, TAKEN, tmp_path, recipe(), progress=False)


def test_nobody_to_learn_from_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="too few to train"):
        train(PLANTED.content, Sequences.of([[1], [2]]), tmp_path, recipe(), progress=False)


def test_masked_history_does_not_mask_the_item_asked_for():
    torch.manual_seed(0)
    model, what = Learn(SMALL).eval(), recipe(mask_history=True)
    batch = draw_batch(Sequences.of([[4, 4]]), np.array([0]), what, 0)
    table = torch.nn.functional.normalize(torch.from_numpy(PLANTED.content), dim=-1)
    assert objective(model, table, batch, what).item() < 50


def test_a_folder_without_a_run_has_no_model(tmp_path):
    with pytest.raises(UsageError, match="no finished run of LEARN"):
        load_trained(tmp_path)


def test_the_adaptor_beats_the_mean_which_beats_popularity_with_intervals_apart(tmp_path):
    planted = plant_interactions(Planted(n_users=1000, n_items=300, look=1.25), seed=0)
    split = leave_one_out(planted.interactions, "test")
    model = LearnConfig(input_dim=32, output_dim=32, width=32, heads=4, mlp_width=64, layers=1, dropout=0.0)
    what = LearnRecipe(
        model=model, seed=0, epochs=20, batch_size=50, objective="dense", places=5, actions=4, learning_rate=5e-3
    )
    trained = train(planted.content, split.training, tmp_path, what, progress=False)
    vectors = {
        "LEARN": (embed_items(trained, planted.content), embed_users(trained, planted.content, split.history, 40)),
        "mean": (planted.content, mean_of_history(Vectors.of(planted.content), split.history)),
    }
    scores = {
        name: score(
            Vectors.of(items), users, split, ComputeSettings(threads=1), name=name, neighbours=50, exclude_history=True
        ).methods
        for name, (items, users) in vectors.items()
    }
    ndcg = {name: scores[name][name]["all"].metrics["NDCG@10"] for name in vectors}
    popular = scores["mean"]["popularity"]["all"].metrics["NDCG@10"]
    assert ndcg["LEARN"].low > ndcg["mean"].high > ndcg["mean"].low > popular.high
    cold = {name: scores[name][name]["cold items"].metrics["NDCG@10"] for name in vectors}
    near = scores["mean"]["item-kNN"]["cold items"].metrics["NDCG@10"]
    assert min(one.low for one in cold.values()) > near.high


@pytest.mark.parametrize("kind", ["in_batch", "dense", "full_gallery"])
def test_the_scale_of_the_recipe_multiplies_the_cosines_of_the_loss(kind):
    """Twice the scale is what the loss makes of twice the vectors of the users."""
    torch.manual_seed(0)
    model, table = Learn(SMALL).eval(), torch.nn.functional.normalize(torch.from_numpy(PLANTED.content).float())
    batch = draw_batch(TAKEN, np.arange(8), recipe(objective=kind), 0)

    class Longer(torch.nn.Module):
        def forward(self, *given):
            users, found = model(*given)
            return 2 * users, found

    def loss(module, scale):
        return objective(module, table, batch, recipe(objective=kind, scale=scale)).item()

    with torch.no_grad():
        assert loss(model, 10.0) != pytest.approx(loss(model, 20.0), rel=1e-3)
        if kind != "full_gallery":  # it normalises for itself
            assert loss(Longer(), 10.0) == pytest.approx(loss(model, 20.0), rel=1e-4)
