"""Sound in the feed: at a stated rate, of its own length, and None where there is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from rope.dataset.build import build_dataset
from rope.domain import Audio, Sample, Video
from rope.errors import DatasetError, UsageError
from rope.feed import BalancedProducts, ClipReader, Feed, SampleStream
from rope.media.audio import decode_audio
from tests.baselines.samples import samples

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media.sounds import silence, tone, write

RATE = 8_000
READER = ClipReader(n_frames=2, size=8, sound_rate=RATE)


def video(sound, sample_id="v"):
    return Sample(sample_id, "video", None, (), Video(write(sound), None))


def sound_of(sample, **changes):
    return replace(READER, **changes).read(sample, 0, 0).sound


def test_a_clip_has_the_sound_of_its_file_at_the_rate():
    sample = video(tone(0.5))
    assert np.array_equal(sound_of(sample).numpy(), decode_audio(sample.video, RATE))
    assert tuple(sound_of(sample, sound_rate=16_000).shape) == (8_000,)
    assert tuple(sound_of(sample, sound_s=0.25).shape) == (2_000,)
    assert sound_of(sample, sound_rate=None) is None


def test_no_track_and_silence_are_none_and_not_zeros():
    assert sound_of(video(None)) is None
    assert sound_of(video(silence(0.5))) is None
    half = np.concatenate([silence(0.5), tone(0.5)], axis=1)
    assert sound_of(video(half), sound_s=0.25) is None
    assert sound_of(video(half)).any()


def test_frames_have_the_sound_beside_them(sounding):
    stream = SampleStream(sounding, "live", "train", reader=READER, seed=0, batch_size=4)
    (batch,) = Feed(stream, num_workers=0)
    assert [tuple(sound.shape) for sound in batch.sounds] == [(2_000,)] * 4


def test_damaged_sound_names_the_sample():
    (frame,) = samples("live", 1)[0].frames
    broken = Sample("v7", "live", None, (frame,), audio=Audio(b"RIFF....WAVEfmt broken", None))
    with pytest.raises(DatasetError, match="live 'v7': "):
        READER.read(broken, 0, 0)
    with pytest.raises(UsageError, match="give sound_rate"):
        ClipReader(2, 8, sound_s=1.0)


@pytest.mark.parametrize("n_workers", [0, 1])
def test_both_sources_give_sounds(sounding, n_workers):
    stream = SampleStream(sounding, "video", "train", reader=READER, seed=0, batch_size=4)
    found = {}
    for batch in Feed(stream, num_workers=n_workers):
        found |= dict(zip(batch.sample_ids, batch.sounds, strict=True))
    lengths = {one: None if sound is None else tuple(sound.shape) for one, sound in found.items()}
    assert set(lengths.values()) == {None, (4_000,)}
    balanced = BalancedProducts(sounding, "train", reader=READER, seed=0, batch_size=2, domains=("video",))
    for batch in Feed(balanced, num_workers=0):
        part = batch.samples["video"]
        for one, sound in zip(part.sample_ids, part.sounds, strict=True):
            assert (sound is None) == (found[one] is None)
            assert sound is None or torch.equal(sound, found[one])
    silent = SampleStream(sounding, "video", "train", reader=replace(READER, sound_rate=None), seed=0, batch_size=4)
    assert all(sound is None for batch in Feed(silent, num_workers=0) for sound in batch.sounds)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory):
    """Four products of two samples: video files, the second of each with a tone, and frames with a sound file."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "videos").mkdir()
    (folder / "lives").mkdir()
    rows = ["domain,sample_id,product_id,text,split"]
    for product in range(4):
        for n in range(2):
            (folder / "videos" / f"v{product}{n}.mp4").write_bytes(write(tone(0.5) if n else None))
            rows.append(f"video,v{product}{n},p{product},,train")
        Image.fromarray(np.full((8, 8, 3), 60 * product, np.uint8)).save(folder / "lives" / f"l{product}.png")
        (folder / "lives" / f"l{product}.wav").write_bytes(
            write(tone(0.25), codec="pcm_s16le", container="wav", n_frames=0)
        )
        rows.append(f"live,l{product},p{product},,train")
    (folder / "samples.csv").write_text("\n".join(rows))
    build_dataset(folder, folder.parent / "sounding", progress=False)
    return folder.parent / "sounding"
