import importlib.util

import numpy as np
import pytest

from baselines.sentence_transformer import embedder
from rope.errors import UsageError
from tests.baselines.checkpoints import save_clip
from tests.baselines.samples import samples

INSTALLED = importlib.util.find_spec("sentence_transformers") is not None


@pytest.mark.skipif(INSTALLED, reason="sentence-transformers is installed")
def test_the_missing_package_is_named():
    with pytest.raises(UsageError, match=r"pip install 'rope-bench\[baselines\]'"):
        embedder("any")


@pytest.mark.skipif(not INSTALLED, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")  # its own
def test_a_clip_of_sentence_transformers_is_an_embedder(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import CLIPModel
    from transformers import CLIPImageProcessor, CLIPProcessor

    from tests.baselines.checkpoints import clip_tokenizer

    folder = save_clip(tmp_path / "clip")
    CLIPProcessor(CLIPImageProcessor.from_pretrained(folder), clip_tokenizer()).save_pretrained(folder)
    SentenceTransformer(modules=[CLIPModel(str(folder))], device="cpu").save(str(tmp_path / "st"))
    model = embedder(str(tmp_path / "st"), device="cpu")
    given = samples("video", 3, n_frames=2)
    assert np.allclose(model.embed(given), np.concatenate([model.embed([one]) for one in given]), atol=1e-5)
