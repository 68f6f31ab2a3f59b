import io

import pytest
import torch
from PIL import Image

from rope.domain import Frame, Sample
from rope.errors import UsageError
from rope.feed import ClipReader
from tests.feed.conftest import png
from tests.feed.readers import READER


def sample(sample_id, domain="video", n_stored=16):
    return Sample(sample_id, domain, "text", tuple(Frame(png(i)) for i in range(n_stored)))


def test_frames_are_squashed_to_a_square_with_channels_first():
    wide = Image.new("RGB", (80, 40))
    wide.paste((200, 0, 0), (40, 0, 80, 40))
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    clip = ClipReader(3, 4).read(Sample("1", "live", "text", (Frame(buffer.getvalue()),)), 0, 0)
    assert (clip.sample_id, clip.text) == ("1", "text")
    assert (tuple(clip.frames.shape), clip.frames.dtype) == ((3, 3, 4, 4), torch.uint8)
    assert clip.frames.is_contiguous()
    assert clip.frames[2, 0, 0].tolist() == pytest.approx([0, 0, 200, 200], abs=30)
    assert not clip.frames[:, 1:].any()


@pytest.mark.parametrize(("domain", "expected"), [("page", [8]), ("video", [2, 6, 10, 14]), ("live", [2, 6, 10, 14])])
def test_frames_are_those_of_the_published_rule(domain, expected):
    reader = ClipReader(4, 2, lambda frames, rng: torch.tensor([int(frame[0, 0, 0]) for frame in frames]))
    assert reader.read(sample("1", domain), 0, 0).frames.tolist() == expected


def test_what_is_drawn_for_a_transform_is_of_the_sample_epoch_and_seed():
    keys = [("1", "video", 0, 0), ("2", "video", 0, 0), ("1", "live", 0, 0), ("1", "video", 1, 0), ("1", "video", 0, 1)]
    drawn = [float(READER.read(sample(name, domain), seed, epoch).frames[2]) for name, domain, seed, epoch in keys * 2]
    assert drawn[:5] == drawn[5:]
    assert len(set(drawn)) == 5


@pytest.mark.parametrize("numbers", [(0, 1, 1), (8, 0, 1), (8, 1, 0)])
def test_nothing_to_decode_is_refused(numbers):
    n_frames, size, n_page_frames = numbers
    with pytest.raises(UsageError, match="is 0; expected a whole number, at least 1"):
        ClipReader(n_frames, size, n_page_frames=n_page_frames)
