from pathlib import Path

import pytest

from rope.synthetic.pool import write_pool
from rope.synthetic.release import write_release


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 20 products, MP4 included."""
    pytest.importorskip("av", reason="the MP4 of a release need PyAV")
    out = tmp_path_factory.mktemp("synthetic") / "release"
    write_release(out, products=20, seed=3, workers=1, progress=False)
    return out


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw pool of 20 products."""
    out = tmp_path_factory.mktemp("synthetic") / "pool"
    write_pool(out, products=20, seed=3, workers=1, progress=False)
    return out
