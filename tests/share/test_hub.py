"""Every way in which the Hub fails is one sentence, without the token."""

import pytest
from huggingface_hub import HfApi

from rope.errors import RopeError, UsageError
from rope.share.hub import open_hub
from rope.share.pull import pull_dataset
from rope.share.push import push_dataset
from tests.share.hub import READ_TOKEN, TOKEN

# The Hub's library uploads to LFS by an argument that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "lab/mini"


def sentence(call, *arguments, **options):
    with pytest.raises(RopeError) as caught:
        call(*arguments, **options)
    assert not isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)
    assert "hf_" not in str(caught.value)
    return str(caught.value)


def test_a_push_needs_a_token_and_a_pull_does_not(hub):
    assert sentence(open_hub, to_write=True).endswith("none is known; log in with: hf auth login, or set HF_TOKEN")
    assert open_hub(to_write=False).token is None


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("hf_wrong", "the Hub does not accept the token (401)"),
        (READ_TOKEN, "the token may not do this (403); it needs write access to lab"),
    ],
)
def test_a_token_that_may_not_push_is_refused(token, words, small, hub):
    assert words in sentence(push_dataset, small, REPO, api=HfApi(endpoint=hub.url, token=token))


@pytest.mark.parametrize(
    ("token", "revision", "words"),
    [
        (False, None, "no such dataset repository, or it is private and the token may not see it (401)"),
        ("hf_wrong", None, "the Hub does not accept the token (401)"),
        (TOKEN, "v2", "has no such revision (404)"),
    ],
)
def test_a_repository_that_may_not_be_seen_is_not_pulled(token, revision, words, hub, tmp_path):
    hub.add(REPO)
    api = HfApi(endpoint=hub.url, token=token)
    assert words in sentence(pull_dataset, REPO, tmp_path / "out", api=api, revision=revision)
    assert not (tmp_path / "out").exists()


def test_a_repository_that_is_not_there_is_not_pulled(hub, api, tmp_path):
    assert "no such dataset repository" in sentence(pull_dataset, REPO, tmp_path / "out", api=api)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "the Hub is busy or out of order (503); run the command again later"),
        (418, "the Hub refuses with status 418"),
        (0, "failed (RemoteProtocolError); run the command again to go on"),
    ],
)
@pytest.mark.parametrize("part", ["/api/datasets/", "/commit/"])
def test_a_server_in_trouble_is_a_sentence(part, status, words, small, hub, api):
    hub.fault = lambda method, path: status if part in path else None
    assert words in sentence(push_dataset, small, REPO, api=api)


def test_a_card_that_the_hub_finds_invalid_is_named(small, hub, api):
    hub.fault = lambda method, path: 400 if path == "/api/validate-yaml" else None
    assert "the Hub does not take it: Invalid metadata in README.md" in sentence(push_dataset, small, REPO, api=api)
    assert "rope.json" not in hub.repos[REPO].tree


def test_a_name_that_the_hub_does_not_allow_is_a_sentence(small, api):
    assert "the Hub does not take it: Cannot have -- or .. in repo_id" in sentence(
        push_dataset, small, "lab/mini--rope", api=api
    )


def test_an_upload_that_is_refused_is_a_sentence(small, hub, api):
    hub.fault = lambda method, path: 403 if method == "PUT" else None
    assert "the token may not do this (403)" in sentence(push_dataset, small, REPO, api=api)


def test_a_hub_that_is_not_there_is_a_sentence(small, tmp_path):
    api = HfApi(endpoint="http://127.0.0.1:9", token=TOKEN)
    words = "the transfer from or to http://127.0.0.1:9 failed (ConnectError)"
    assert words in sentence(push_dataset, small, REPO, api=api)
    assert words in sentence(pull_dataset, REPO, tmp_path / "out", api=api)


def test_a_refusal_ends_the_command_with_1_and_the_sentence(small, hub, rope, tmp_path):
    code, out, err = rope("push", small, "--repo", REPO, HF_TOKEN="hf_wrong")
    assert (code, out) == (1, "")
    assert (
        err == f"error: {REPO}: the Hub does not accept the token (401); log in with: hf auth login, or set HF_TOKEN\n"
    )
