"""Sound out of files: how much, which, and what is said about files that are broken."""

import struct

import numpy as np
import pytest

pytest.importorskip("av")

from hypothesis import given, settings
from hypothesis import strategies as st

from rope.domain import Audio, Video
from rope.errors import DatasetError, UsageError
from rope.media.audio import decode_audio, has_audio, iter_audio
from tests.media.sounds import silence, tone, write

LOSSLESS = {"mp4": "flac", "matroska": "pcm_s16le", "wav": "pcm_s16le", "flac": "flac"}


def opened(content: bytes, container: str) -> Video | Audio:
    return Audio(content) if container in ("wav", "flac", "ogg", "mp3") else Video(content)


@pytest.mark.parametrize("container", LOSSLESS)
def test_at_its_own_rate_a_sound_is_what_was_stored(container):
    stored = tone(0.5, rate=44_100)
    content = write(stored, 44_100, LOSSLESS[container], container, n_frames=0 if container in ("wav", "flac") else 5)
    found = decode_audio(opened(content, container), 44_100)
    assert found.dtype == np.float32
    assert found.shape == stored[0].shape
    assert np.abs(found - stored[0]).max() < 1e-4  # 16 bits


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 3000), rate=st.sampled_from([8000, 22_050, 44_100, 48_000]), to=st.integers(4000, 96_000))
def test_a_sound_has_as_many_samples_as_its_length_says(n, rate, to):
    content = write(np.zeros((1, n), np.float32), rate, "pcm_s16le", "wav", n_frames=0)
    assert len(decode_audio(Audio(content), to)) == int(n * to / rate + 0.5)


@pytest.mark.parametrize(("codec", "container"), [("aac", "mp4"), ("libopus", "matroska"), ("libmp3lame", "mp3")])
def test_a_lossy_tone_keeps_its_pitch_and_level(codec, container):
    content = write(tone(1.0, hertz=1000), 48_000, codec, container, n_frames=0 if container == "mp3" else 5)
    found = decode_audio(opened(content, container), 16_000)
    spectrum = np.abs(np.fft.rfft(found[2000:14_000]))
    assert np.argmax(spectrum) * 16_000 / 12_000 == pytest.approx(1000, abs=2)
    assert found[2000:14_000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.06)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_channels_are_averaged(rate):
    both = np.concatenate([tone(0.5, level=0.6), tone(0.5, level=0.2)])
    one = decode_audio(Audio(write(both, codec="pcm_s16le", container="wav", n_frames=0)), rate)
    alone = decode_audio(Audio(write(tone(0.5, level=0.4), codec="pcm_s16le", container="wav", n_frames=0)), rate)
    assert np.abs(one - alone).max() < 1e-4


@settings(max_examples=20, deadline=None)
@given(n_samples=st.integers(1, 20_000))
def test_pieces_are_the_whole_in_order(n_samples):
    video = Video(write(tone(1.0)))
    pieces = list(iter_audio(video, 16_000, n_samples))
    assert np.array_equal(np.concatenate(pieces), decode_audio(video, 16_000))
    assert {len(piece) for piece in pieces[:-1]} <= {n_samples}
    assert 0 < len(pieces[-1]) <= n_samples


@pytest.mark.parametrize(("sound", "there"), [(None, False), (silence(0.2), True), (tone(0.2), True)])
def test_a_track_may_be_missing_or_silent(sound, there):
    video = Video(write(sound))
    assert has_audio(video) == there
    assert len(decode_audio(video, 16_000)) == (3200 if there else 0)


def damaged_in_the_middle(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes(1000) + content[at + 1000 :]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Video(b"#EXTM3U\nhttp://localhost/a.ts\n"), "is not an MP4"),
        (Video(write(tone(1.0))[:-500]), "is truncated: its last 500 bytes are missing"),
        (Audio(write(tone(3.0), codec="flac", container="flac", n_frames=0)[:-30_000]), "sound cannot be decoded"),
        (Audio(write(tone(3.0), codec="pcm_s16le", container="wav", n_frames=0)[:-500]), "its last 500 bytes are"),
        (Audio(write(tone(3.0), codec="libmp3lame", container="mp3", n_frames=0)[:-20_000]), "is incomplete: holds"),
        (Video(damaged_in_the_middle(write(tone(3.0)))), "sound cannot be decoded"),
        (Video(path="nowhere.mp4"), "nowhere.mp4: cannot be read: No such file"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(broken, says):
    with pytest.raises(DatasetError, match=says):
        decode_audio(broken, 16_000)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("rope.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"rope-bench\[video\]"):
        has_audio(Video(b""))


def wav(samples, rate=16_000):
    """The bytes of a WAV file of int16 [n, channels]."""
    data, (n_channels,) = samples.astype("<i2").tobytes(), samples.shape[1:]
    head = struct.pack("<IHHIIHH", 16, 1, n_channels, rate, rate * n_channels * 2, n_channels * 2, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + head + b"data" + struct.pack("<I", len(data)) + data
    )


@pytest.mark.parametrize("n_channels", [1, 6, 7, 8, 9, 24])
def test_any_number_of_channels_is_averaged(n_channels):
    samples = np.random.default_rng(0).integers(-9_000, 9_000, (4_000, n_channels), np.int16)
    heard = decode_audio(Audio(wav(samples)), 16_000)
    np.testing.assert_allclose(heard, samples.mean(axis=1) / 32_768, atol=1e-6)


@pytest.mark.parametrize("rate", [1, 999, 2_000_000])
def test_a_rate_that_no_sound_has_is_damage(rate):
    with pytest.raises(DatasetError, match=rf"is damaged: has {rate:,} audio samples per second"):
        decode_audio(Audio(wav(np.zeros((100, 1)), rate)), 16_000)


@pytest.mark.parametrize(("rate", "n_samples"), [(0, 1), (1, 0)])
def test_rates_and_pieces_are_positive(rate, n_samples):
    with pytest.raises(ValueError, match="at least 1"):
        next(iter_audio(Video(b""), rate, n_samples))
