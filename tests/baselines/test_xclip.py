import numpy as np
import pytest
import torch

from baselines.xclip import embedder, load_xclip
from tests.baselines.checkpoints import save_xclip
from tests.baselines.samples import samples


@pytest.mark.parametrize(("domain", "n_frames"), [("page", 1), ("video", 3), ("live", 9)])
def test_any_number_of_stored_frames_will_do(domain, n_frames, tmp_path):
    vectors = embedder(str(save_xclip(tmp_path)), device="cpu").embed(samples(domain, 4, n_frames))
    assert vectors.shape == (4, 24)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_samples_do_not_mix(tmp_path):
    model = embedder(str(save_xclip(tmp_path)), device="cpu")
    given = samples("page", 4)
    assert np.allclose(model.embed(given), np.concatenate([model.embed([one]) for one in given]), atol=1e-5)


def test_another_number_of_frames_is_refused(tmp_path):
    model = load_xclip(str(save_xclip(tmp_path)), precision="fp32", device="cpu")
    with pytest.raises(ValueError, match="takes 4 frames"):
        # 4 videos of one frame each would be taken for one of 4.
        model.encode_clips([[torch.zeros(3, 32, 32)]] * 4)
