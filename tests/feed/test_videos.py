"""Samples that are video files, from the shards to the tensors."""

import numpy as np
import pytest
import torch

from rope.dataset.build import build_dataset
from rope.dataset.sample_table import SampleTable
from rope.domain import Video
from rope.feed import ClipReader, SampleStream, stack_frames
from rope.media import decode_video

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media import videos

MP4S = {f"v{i}": videos.write(videos.scene(6 + 5 * i)) for i in range(3)}
READER = ClipReader(n_frames=4, size=16)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    release = tmp_path_factory.mktemp("release")
    (release / "videos").mkdir()
    rows = ["domain,sample_id,product_id,text,split"]
    for sample_id, content in MP4S.items():
        (release / "videos" / f"{sample_id}.mp4").write_bytes(content)
        rows.append(f"video,{sample_id},red-cup,,train")
    (release / "samples.csv").write_text("\n".join(rows))
    build_dataset(release, release.parent / "built", progress=False)
    return release.parent / "built"


def expected(sample_id):
    frames = decode_video(Video(MP4S[sample_id]), 4, size=(16, 16))
    return stack_frames(frames, np.random.default_rng(0))


def test_a_table_gives_the_video_of_a_sample(directory):
    table = SampleTable(directory, "video", "train")
    for row in range(len(table)):
        sample = table.sample(row, 4)
        assert (sample.frames, sample.video.data) == ((), MP4S[sample.sample_id])
        assert torch.equal(READER.read(sample, 0, 0).frames, expected(sample.sample_id))


def test_a_stream_gives_the_frames_of_videos(directory):
    stream = SampleStream(directory, "video", "train", reader=READER, seed=0, batch_size=3)
    ((batch, _),) = stream.steps(0, 0)
    collated = stream.collate([stream[key] for key in batch])
    assert sorted(collated.sample_ids) == sorted(MP4S)
    for sample_id, frames in zip(collated.sample_ids, collated.frames, strict=True):
        assert torch.equal(frames, expected(sample_id))
