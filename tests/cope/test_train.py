import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from cope import train as training
from cope.recipe import recipe_text
from cope.train import LOG_NAME, train
from rope.bench.running.embedder import load_embedder
from rope.dataset.directory import iter_samples
from rope.domain import DOMAINS
from rope.errors import RopeError, UsageError
from tests.cope.runs import NO_DROPOUT, RECIPE, dataset


@pytest.fixture(autouse=True)
def one_thread():
    """So that sums are added up in one order; and no test sees what another set up for the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    AcceleratorState._reset_state(reset_partial_state=True)


def run(out, recipe=RECIPE, **options):
    return train(dataset(), out, recipe, progress=False, **options)


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]


def tensors(out: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(out / "model.safetensors")


def assert_close(one: Path, other: Path) -> None:
    """The same model up to rounding: by its weights, and more closely by what it makes of samples.

    Biases of attention keys are left out: they change nothing, so that their gradients are rounding errors, which Adam
    turns into steps of full length. Those of the messages between similar frames are nearly so.
    """
    a, b = tensors(one), tensors(other)
    apart = {
        name: float((a[name] - b[name]).abs().max()) for name in a if not name.endswith(("k_proj.bias", "key.bias"))
    }
    assert max(apart.values()) < 3e-4, max(apart, key=apart.__getitem__)
    assert max(value for name, value in apart.items() if "message_attn" not in name) < 5e-5
    for domain in DOMAINS:
        (samples,) = iter_samples(dataset(), domain, "validation", batch_size=1000)
        made = [load_embedder(f"cope:{out}").embed(samples) for out in (one, other)]
        np.testing.assert_allclose(made[0], made[1], atol=2e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole") / "run"
    report = run(out)
    assert report is not None
    assert report.steps == 9
    return out


def test_rare_products_weigh_more_when_asked_for(tmp_path):
    proportional = replace(RECIPE, sampling="proportional", epochs=1)
    adjusted = replace(proportional, loss=replace(RECIPE.loss, logit_adjustment=1.0, class_balance=0.9))
    logs = []
    for name, recipe in (("plain", proportional), ("adjusted", adjusted)):
        run(tmp_path / name, recipe)
        logs.append(log(tmp_path / name)[0])
    assert logs[0]["page_video"] == logs[1]["page_video"]  # the first step begins with the same weights
    assert logs[0]["classify_page"] != logs[1]["classify_page"]


def test_a_run_logs_every_step_and_its_score(whole):
    entries = log(whole)
    assert [entry["step"] for entry in entries] == [*range(1, 10), 9]
    assert {"loss", "video_live", "classify_page"} < entries[0].keys()
    assert {"mean R@1", "P2V", "L2V"} < entries[-1].keys()


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_run_that_stopped_goes_on_to_the_same_bytes(steps, whole, tmp_path):
    assert run(tmp_path / "run", stop_after=steps) is None
    report = run(tmp_path / "run", num_workers=1)
    assert report is not None
    assert weights(tmp_path / "run") == weights(whole)
    assert log(tmp_path / "run") == log(whole)


def test_a_finished_run_is_not_repeated(whole, tmp_path):
    before = weights(whole), log(whole)
    report = run(whole)
    assert (report.steps, (weights(whole), log(whole))) == (9, before)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(whole, tmp_path):
    (tmp_path / "recipe.yaml").write_text(recipe_text(replace(RECIPE, save_steps=1)))
    command = [sys.executable, "-m", "cope", "train", str(dataset()), "--out", str(tmp_path / "run")]
    command += ["--recipe", str(tmp_path / "recipe.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not (tmp_path / "run" / "state" / "state.json").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert weights(tmp_path / "run") == weights(whole)


@pytest.mark.parametrize("size", [1, 3])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(size, tmp_path):
    run(tmp_path / "whole", NO_DROPOUT)
    run(tmp_path / "parts", replace(NO_DROPOUT, micro_batch=size))
    assert_close(tmp_path / "whole", tmp_path / "parts")


def test_activation_checkpointing_changes_nothing(tmp_path):
    run(tmp_path / "whole", NO_DROPOUT)
    run(tmp_path / "again", replace(NO_DROPOUT, activation_checkpointing=True))
    assert_close(tmp_path / "whole", tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [None, 1])
def test_two_processes_train_as_one_with_the_same_batch(micro_batch, tmp_path):
    recipe = replace(NO_DROPOUT, epochs=7)
    run(tmp_path / "one", recipe)
    (tmp_path / "recipe.yaml").write_text(recipe_text(replace(recipe, micro_batch=micro_batch)))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
    launch += [
        "--mixed_precision=no",
        "--dynamo_backend=no",
        "--main_process_port=0",
        "-m",
        "cope",
        "train",
        str(dataset()),
    ]
    launch += ["--out", str(tmp_path / "two"), "--recipe", str(tmp_path / "recipe.yaml")]
    subprocess.run(launch, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert len([entry for entry in log(tmp_path / "two") if "loss" in entry]) == 21
    assert_close(tmp_path / "one", tmp_path / "two")


def test_a_run_of_another_recipe_is_left_alone(whole):
    with pytest.raises(UsageError, match="holds a run of `cope train` of something else: seed is 0 there and 1 now"):
        run(whole, replace(RECIPE, seed=1))


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds notes\.txt, and not a run of `cope train`"):
        run(tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_with_a_saved_state(tmp_path):
    with pytest.raises(RopeError, match=r"the loss of step \d is nan .*the state before it is saved"):
        run(tmp_path / "run", replace(RECIPE, lr_vision=1e30, clip_norm=None, warmup_epochs=0))
    assert (tmp_path / "run" / "state" / "state.json").exists()


def test_a_trained_folder_is_an_embedder(whole):
    embedder = load_embedder(f"cope:{whole}?batch_size=3")
    assert embedder.training_seed == RECIPE.seed  # results keep it
    (samples,) = iter_samples(dataset(), "page", "validation", batch_size=1000)
    vectors = embedder.embed(samples)
    assert vectors.shape == (len(samples), 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([embedder.embed([sample]) for sample in samples])
    np.testing.assert_allclose(alone, vectors, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"use_text": False}, {"sampling": "proportional"}, {"precision": "bf16"}], ids=lambda c: next(iter(c))
)
def test_options_change_the_model(changes, whole, tmp_path):
    run(tmp_path / "run", replace(RECIPE, **changes))
    assert weights(tmp_path / "run") != weights(whole)


def test_the_centres_of_products_have_the_rate_of_the_head_and_decay_like_all_weights(tmp_path):
    recipe = replace(RECIPE, lr_text=1e-4, lr_vision=2e-4, lr_head=3e-4, weight_decay=0.07)
    run(tmp_path / "run", recipe, stop_after=1)
    (state,) = (tmp_path / "run" / "state").glob("*.pt")
    of_model, of_centres = torch.load(state, weights_only=True)["optimizers"]
    assert [group["initial_lr"] for group in of_model["param_groups"]] == [1e-4, 2e-4, 3e-4]
    (group,) = of_centres["param_groups"]
    assert (group["initial_lr"], group["weight_decay"]) == (3e-4, 0.07)
    first = of_model["param_groups"][0]
    assert group["lr"] / group["initial_lr"] == pytest.approx(first["lr"] / first["initial_lr"])


def test_each_step_samples_products_by_the_seed_of_the_recipe_and_its_own_number(tmp_path, monkeypatch):
    asked, objective = [], training.objective

    def spy(*given, seed, step, **rest):
        asked.append((seed, step))
        return objective(*given, seed=seed, step=step, **rest)

    monkeypatch.setattr(training, "objective", spy)
    run(tmp_path / "run", replace(RECIPE, seed=11), stop_after=3)
    assert asked == [(11, 0), (11, 1), (11, 2)]


def test_a_loss_that_is_no_number_takes_no_batch_from_the_run(whole, tmp_path, monkeypatch):
    real, calls = training.objective, []

    def broken(*args, **options):
        calls.append(options["step"])
        found = real(*args, **options)
        return replace(found, total=found.total * float("nan")) if len(calls) == 5 else found

    monkeypatch.setattr(training, "objective", broken)
    with pytest.raises(RopeError, match="the loss of step 5 is nan"):
        run(tmp_path / "run")
    AcceleratorState._reset_state(reset_partial_state=True)
    report = run(tmp_path / "run")
    assert report is not None
    assert report.steps == 9
    assert weights(tmp_path / "run") == weights(whole)


@pytest.mark.parametrize("killed_at", [0, 1])
def test_a_run_killed_while_it_is_scored_in_its_middle_makes_that_score(killed_at, tmp_path, monkeypatch):
    recipe = replace(RECIPE, eval_epochs=1)
    run(tmp_path / "whole", recipe)
    real, calls = training.score_on_validation, []

    def killed(*arguments):
        calls.append(0)
        if len(calls) == killed_at + 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "score_on_validation", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", recipe)
    AcceleratorState._reset_state(reset_partial_state=True)
    run(tmp_path / "run", recipe)
    assert log(tmp_path / "run") == log(tmp_path / "whole")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_score_that_was_made_is_not_made_again(tmp_path, monkeypatch):
    recipe, calls = replace(RECIPE, eval_epochs=1), []
    run(tmp_path / "run", recipe, stop_after=4)  # epochs have three steps
    monkeypatch.setattr(training, "score_on_validation", counted(training.score_on_validation, calls))
    run(tmp_path / "run", recipe)
    assert len(calls) == 2


def counted(function, calls):
    def call(*arguments):
        calls.append(0)
        return function(*arguments)

    return call


def test_untrained_heads_that_begin_alike_send_products_in_different_directions(tmp_path):
    still = replace(RECIPE, epochs=1, lr_head=0.0, lr_text=0.0, lr_vision=0.0)
    likeness = {}
    for heads in ("random", "aligned"):
        run(tmp_path / heads, replace(still, heads=heads))
        (videos,) = iter_samples(dataset(), "video", "validation", batch_size=1000)
        made = load_embedder(f"cope:{tmp_path / heads}").embed(videos)
        likeness[heads] = float((made @ made.T)[~np.eye(len(made), dtype=bool)].mean())
    assert likeness["aligned"] < 0.5 < 0.9 < likeness["random"]
    begun = tensors(tmp_path / "aligned")
    assert torch.equal(begun["page_visual.weight"], begun["live.weight"])
    assert not torch.equal(begun["page_visual.bias"], begun["live.bias"])


def test_untrained_heads_that_begin_alike_may_have_no_text(tmp_path):
    run(tmp_path / "run", replace(RECIPE, epochs=1, heads="aligned", use_text=False, lr_head=0.0))
    assert float(tensors(tmp_path / "run")["page_text.weight"].abs().max()) < 2


def test_a_line_of_the_log_that_a_kill_has_cut_is_forgotten(whole, tmp_path):
    run(tmp_path / "run", stop_after=4)
    with (tmp_path / "run" / LOG_NAME).open("a") as file:
        file.write('{"step": 5, "loss": 1.2, "ra')
    run(tmp_path / "run")
    assert log(tmp_path / "run") == log(whole)
