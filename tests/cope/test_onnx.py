"""ONNX files give what the model gives, for other numbers of samples and lengths than those of the export."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from cope.model import Cope
from cope.onnx import ExportedEncoder, export_onnx
from cope.onnx_cli import export
from rope.errors import RopeError, UsageError
from tests.cope.golden import TINY, tiny_batch, tiny_model

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

SMALL = replace(TINY, vision_layers=1, mit_layers=1)


def exported(tmp_path, domain, **changes):
    """A model, the report on one of its encoders, and a function that runs the file."""
    torch.manual_seed(1)
    model = Cope(replace(SMALL, **changes)).eval()
    (report,) = export_onnx(model, tmp_path, domains=(domain,))
    session = onnxruntime.InferenceSession(str(tmp_path / f"{domain}.onnx"), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*inputs):
        return session.run(["unit"], {name: value.numpy() for name, value in zip(names, inputs, strict=True)})[0]

    return model, report, run


@pytest.mark.slow
@torch.no_grad()
def test_a_page_has_image_and_title(tmp_path):
    model, report, run = exported(tmp_path, "page")
    pages, tokens, mask, *_ = tiny_batch(7)
    np.testing.assert_allclose(
        run(pages, tokens, mask), model.encode_pages(pages, tokens, mask).unit.numpy(), atol=1e-5
    )
    assert (report.domain, report.path) == ("page", tmp_path / "page.onnx")
    assert report.difference < 1e-5
    assert b"site-packages" not in report.path.read_bytes()


@pytest.mark.slow
@torch.no_grad()
def test_a_video_is_its_frames(tmp_path):
    model, _, run = exported(tmp_path, "video")
    *_, videos, _ = tiny_batch(7)
    np.testing.assert_allclose(run(videos), model.encode_videos(videos).unit.numpy(), atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_a_live_clip_has_a_text_in_ampere(tmp_path):
    model, _, run = exported(tmp_path, "live", text_domains=("page", "video", "live"))
    _, tokens, mask, _, lives = tiny_batch(7)
    np.testing.assert_allclose(
        run(lives, tokens, mask), model.encode_lives(lives, tokens, mask).unit.numpy(), atol=1e-5
    )


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(tmp_path):
    with pytest.raises(RopeError, match=r"live.onnx: gives numbers that differ"):
        export_onnx(Cope(SMALL).eval(), tmp_path / "out", domains=("live",), tolerance=-1.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_in_training_mode_is_refused(tmp_path):
    with pytest.raises(UsageError, match="training mode"):
        export_onnx(tiny_model().train(), tmp_path)


def test_the_command_names_each_file_and_how_far_it_is(tmp_path, monkeypatch):
    made = (ExportedEncoder("page", tmp_path / "page.onnx", 2e-7),)
    monkeypatch.setattr("cope.onnx.export_onnx", lambda model, out: made)
    tiny_model().save_pretrained(tmp_path / "model")
    app = typer.Typer()
    app.command()(export)
    result = CliRunner().invoke(app, [str(tmp_path / "model"), "--out", str(tmp_path)])
    assert result.output == f"{tmp_path / 'page.onnx'}: differs from the model by at most 2e-07\n"
