"""Every baseline through `rope-bench` on real photos, with small random weights in the real formats."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from baselines.clip4clip_heads import HEADS
from rope.bench.cli import app
from rope.dataset.build import build_dataset
from tests.baselines import checkpoints
from tests.stored import RELEASE


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("grocery") / "data"
    build_dataset(RELEASE, out, progress=False)
    return out


def spec(name: str, folder: Path) -> str:
    """The text for --model, with a checkpoint made for it."""
    if name.startswith("clip4clip"):
        tokenizer = folder / "tokenizer"
        checkpoints.clip_tokenizer().save_pretrained(tokenizer)
        head = name.partition("-")[2]
        model = checkpoints.save_clip4clip(folder / "pytorch_model.bin.0", head)
        return f"baselines:clip4clip?model={model}&tokenizer={tokenizer}&cross_heads=4&frames=4"
    make = {"xclip": checkpoints.save_xclip, "chinese_clip": checkpoints.save_chinese_clip}
    return f"baselines:{name}?model={make.get(name, checkpoints.save_clip)(folder)}&frames=3"


def rope_bench(*arguments: object) -> None:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.mark.parametrize("names", [("fashion_clip", "chinese_clip", "xclip"), tuple(f"clip4clip-{h}" for h in HEADS)])
def test_a_baseline_is_run_and_compared(names, data, tmp_path):
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        model = spec(name, folder)
        outputs = ["--json", folder / "r.json", "--save-ranks", folder / "r.parquet"]
        rope_bench("run", "--model", model, "--data", data, "--out", folder / "e.parquet", *outputs)
    rope_bench("compare", *(tmp_path / name / "r.json" for name in names))
