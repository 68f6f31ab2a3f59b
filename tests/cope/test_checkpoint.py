"""A folder holds a model: the same bytes for the same weights, whole or refused, and sent in one commit."""

from types import SimpleNamespace

import pytest
import torch

from cope import Cope, checkpoint
from cope.checkpoint import push_checkpoint
from rope.errors import RopeError, UsageError
from tests.cope.golden import tiny_batch, tiny_model


@pytest.fixture
def saved(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


class RecordingHub:
    """Stands for the client of the Hub."""

    endpoint = "https://hub.example"

    def __init__(self, private=True):
        self.private, self.sent = private, []

    def create_repo(self, repo, *, private, exist_ok):
        assert exist_ok
        self.made_private = private
        return f"{self.endpoint}/{repo}"

    def model_info(self, repo):
        return SimpleNamespace(private=self.private)

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        self.sent.append((repo_id, folder_path, sorted(allow_patterns)))


def test_a_model_comes_back_as_it_was(saved):
    model, again, batch = tiny_model(), Cope.from_pretrained(saved), tiny_batch(2)
    assert again.config == model.config
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(model(*batch), again(*batch), strict=True))


def test_the_same_weights_give_the_same_bytes(saved, tmp_path):
    Cope.from_pretrained(saved).save_pretrained(tmp_path / "again")
    files = sorted(path.name for path in saved.iterdir())
    assert files == ["README.md", "config.json", "model.safetensors"]
    assert all((saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)


def test_a_card_that_was_edited_is_kept(saved):
    (saved / "README.md").write_text("mine")
    tiny_model().save_pretrained(saved)
    assert (saved / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(UsageError, match=f"has no {name}"):
        Cope.from_pretrained(saved)


def test_damaged_weights_are_refused(saved):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RopeError, match=r"model.safetensors: cannot be read as safetensors"):
        Cope.from_pretrained(saved)


def test_weights_of_another_size_are_refused(saved):
    config = saved / "config.json"
    config.write_text(config.read_text().replace('"mit_layers": 2', '"mit_layers": 3'))
    with pytest.raises(RopeError, match=r"vision.mit.encoder.layers.2.* is missing; .* and \d+ more"):
        Cope.from_pretrained(saved)


def test_neither_a_folder_nor_a_name_on_the_hub():
    with pytest.raises(UsageError, match=r"no/such/folder: neither a folder nor the name of a repository"):
        Cope.from_pretrained("no/such/folder")


def test_a_name_on_the_hub_is_fetched(saved, monkeypatch):
    asked = []
    monkeypatch.setattr(checkpoint, "snapshot_download", lambda *names, **rest: asked.append((names, rest)) or saved)
    assert Cope.from_pretrained("shop-lab/cope", revision="v2").config == tiny_model().config
    assert asked == [
        (("shop-lab/cope",), {"revision": "v2", "allow_patterns": ["config.json", "model.safetensors"]}),
    ]


def test_a_push_sends_the_three_files_to_a_private_repository(saved):
    hub = RecordingHub()
    assert push_checkpoint(saved, "shop-lab/cope", api=hub, progress=False) == "https://hub.example/shop-lab/cope"
    assert hub.made_private
    assert hub.sent == [("shop-lab/cope", saved, ["README.md", "config.json", "model.safetensors"])]


def test_a_public_repository_has_to_be_asked_for(saved):
    hub = RecordingHub(private=False)
    with pytest.raises(UsageError, match="shop-lab/cope is public"):
        push_checkpoint(saved, "shop-lab/cope", api=hub, progress=False)
    assert hub.sent == []
    push_checkpoint(saved, "shop-lab/cope", api=hub, public=True, progress=False)
    assert len(hub.sent) == 1


def test_half_a_model_is_not_sent(saved):
    (saved / "README.md").unlink()
    with pytest.raises(UsageError, match=r"has no README\.md"):
        push_checkpoint(saved, "shop-lab/cope", api=RecordingHub(), progress=False)
