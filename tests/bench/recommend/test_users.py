import numpy as np
import pytest

from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend import users as module
from rope.bench.recommend.users import mean_of_history, read_user_vectors, write_user_vectors
from rope.errors import EmbeddingError, FileError, UsageError
from tests.bench.recommend.cases import random_split


@pytest.mark.parametrize("max_history", [None, 1, 3])
@pytest.mark.parametrize("users_a_block", [1, 7, 4096])
def test_the_mean_is_that_of_a_loop(max_history, users_a_block, monkeypatch):
    monkeypatch.setattr(module, "_USERS_A_BLOCK", users_a_block)
    history = random_split(0).history
    items = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    got = mean_of_history(Vectors.of(items), history, max_history)
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    for user in range(len(history)):
        mean = unit[history[user][-max_history:] if max_history else history[user]].mean(axis=0)
        assert got[user] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_user_vectors_come_back_in_the_order_asked_for(tmp_path):
    vectors = np.float32([[1, 2], [3, 4], [5, 6]])
    write_user_vectors(tmp_path / "users.npz", ["a", "b", "c"], vectors)
    assert read_user_vectors(tmp_path / "users.npz", ["c", "a"], 2).tolist() == [[5, 6], [1, 2]]


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (["a", "b"], [[1, 2, 3], [1, 2, 3]], r"users is float32 \(2, 3\), expected floats \[2, 2\]"),
        (["a", "c"], [[1, 2], [3, 4]], "no vector for 1 users, such as 'b'"),
        (["a", "b", "a"], [[1, 2], [3, 4], [1, 2]], "a user occurs twice"),
        (["a", "b"], [[1, 2], [0, 0]], "user 'b' has a vector of zeros"),
        (["a", "b"], [[1, np.nan], [1, 0]], "user 'a' has a vector of zeros, or with NaN"),
    ],
)
def test_user_vectors_that_do_not_fit_are_named(ids, vectors, message, tmp_path):
    write_user_vectors(tmp_path / "users.npz", ids, np.array(vectors, np.float32))
    with pytest.raises(EmbeddingError, match=message):
        read_user_vectors(tmp_path / "users.npz", ["a", "b"], 2)


def test_a_file_without_user_vectors_is_explained(tmp_path):
    np.savez(tmp_path / "other.npz", page=np.zeros(1))
    with pytest.raises(FileError, match=r"not readable as \.npz with the arrays user_ids and users"):
        read_user_vectors(tmp_path / "other.npz", ["a"], 2)
    with pytest.raises(UsageError, match="no such file"):
        read_user_vectors(tmp_path / "missing.npz", ["a"], 2)
