"""Frames that are decoded once train the same model as frames that are decoded at every visit."""

from dataclasses import replace

import pytest

from cope import kept_frames
from cope.kept_frames import FRAMES_NAME
from cope.recipe import read_recipe
from rope.errors import DatasetError, UsageError
from rope.feed import clips
from tests.cope.runs import RECIPE
from tests.cope.test_train import log, one_thread, run, weights, whole

__all__ = ["one_thread", "whole"]  # fixtures

KEPT = replace(RECIPE, keep_frames=True)


def test_they_change_no_bit(whole, tmp_path):
    run(tmp_path / "run", KEPT, num_workers=1)
    assert weights(tmp_path / "run") == weights(whole)
    assert log(tmp_path / "run") == log(whole)
    assert not (tmp_path / "run" / FRAMES_NAME).exists()


def test_a_run_that_stopped_goes_on_with_them(whole, tmp_path):
    assert run(tmp_path / "run", KEPT, stop_after=4) is None
    (tmp_path / "run" / FRAMES_NAME / "page.npy").write_bytes(b"cut by a kill")
    run(tmp_path / "run", KEPT)
    assert weights(tmp_path / "run") == weights(whole)


def test_no_visit_decodes(tmp_path, monkeypatch):
    def decode(*_, **__):
        raise AssertionError("decoded at a visit")

    monkeypatch.setattr(clips, "decode_frames", decode)
    assert run(tmp_path / "run", KEPT, stop_after=4) is None


def test_a_sample_that_cannot_be_decoded_is_replaced_as_ever(tmp_path, monkeypatch):
    real = kept_frames.decode_frames

    def decode(sample, *arguments, **options):
        if sample.domain == "page" and int(sample.sample_id) % 4 == 0:
            raise DatasetError("damaged")
        return real(sample, *arguments, **options)

    monkeypatch.setattr(kept_frames, "decode_frames", decode)
    report = run(tmp_path / "run", KEPT)
    assert report.n_damaged > 0


def test_a_pretrained_tower_prepares_its_own_frames():
    with pytest.raises(UsageError, match="keep_frames: keeps what COPE's own towers read"):
        replace(read_recipe("small_real"), keep_frames=True)
