"""Folders that hold a model: weights as safetensors, sizes as JSON, and a card. No pickle is read or written."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from huggingface_hub import HfApi, snapshot_download
from safetensors.torch import save_file

from cope.config import CopeConfig
from rope.encoders.weights import read_state
from rope.errors import UsageError
from rope.files import atomic_path
from rope.share.hub import check_repo_id, hub_bars, hub_errors, open_hub

__all__ = ["CONFIG_NAME", "WEIGHTS_NAME", "push_checkpoint", "read_checkpoint", "write_checkpoint"]

WEIGHTS_NAME: Final = "model.safetensors"
CONFIG_NAME: Final = "config.json"
_CARD_NAME: Final = "README.md"

_CARD: Final = """\
---
library_name: rope-bench
tags: [cross-domain-retrieval, e-commerce, product-representation]
---

# A COPE model

Embeds product pages (image and title), short videos and live clips so that those of one product lie near each other:
[Cross-Domain Product Representation Learning for Rich-Content E-Commerce](https://arxiv.org/abs/2308.05550) (ICCV
2023), as implemented by rope-bench.

```python
from cope import Cope

model = Cope.from_pretrained("path/to/this/folder")
page = model.encode_pages(pixels, input_ids, attention_mask).unit  # [pages, {dim}]
video = model.encode_videos(frames).unit  # [videos, {dim}], {frames} frames each
```

| part | size |
|---|---|
| embeddings | {dim} |
| visual tower | {vision} |
| integration of {frames} frames | {integration} |
| text tower | {text} |
| weights | {n_weights:,} |
"""


def write_checkpoint(folder: Path, weights: Mapping[str, torch.Tensor], config: CopeConfig) -> None:
    """Write weights, card and configuration, in this order; each file is whole or not there. An old card is kept.

    The same weights give the same bytes.
    """
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
        save_file(tensors, temporary, metadata={"format": "pt"})
    if not (folder / _CARD_NAME).exists():
        with atomic_path(folder / _CARD_NAME) as temporary:
            temporary.write_text(_card(weights, config), "utf-8")
    with atomic_path(folder / CONFIG_NAME) as temporary:
        temporary.write_text(config.to_json(), "utf-8")


def read_checkpoint(
    source: str | os.PathLike[str], revision: str | None = None
) -> tuple[CopeConfig, dict[str, torch.Tensor]]:
    """Sizes and weights of a folder, or of a repository on the Hub.

    Raises:
        UsageError: the folder does not exist and this is not a repository name, a file of it is missing or cannot be
            read, or its configuration is wrong.
        RopeError: the Hub refuses or cannot be reached.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(os.fspath(source), revision)
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise UsageError(f"{source}: has no {name}; expected a folder that `save_pretrained` wrote")
    config = CopeConfig.from_json((folder / CONFIG_NAME).read_text("utf-8"), str(folder / CONFIG_NAME))
    return config, read_state(folder / WEIGHTS_NAME, "weights that `save_pretrained` wrote")


def push_checkpoint(folder: Path, repo: str, *, api: HfApi, public: bool = False, progress: bool = True) -> str:
    """Send a model that `write_checkpoint` wrote to the Hub, in one commit; returns the address of the repository.

    Args:
        folder: weights, configuration and card; other files are not sent.
        repo: the model repository, `ORG/NAME`; made if it does not exist, and then private.
        api: the Hub, with a token that may write; see `rope.share.hub.open_hub`.
        public: a repository that everybody can see; the weights may owe something to images that are not to be shared.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: a wrong name, files that are missing, or a repository that is public without `public`.
        RopeError: the Hub refuses, or cannot be reached.
    """
    check_repo_id(repo)
    names = [CONFIG_NAME, WEIGHTS_NAME, _CARD_NAME]
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UsageError(f"{folder}: has no {missing[0]}; expected a folder that `save_pretrained` wrote")
    with hub_errors(repo, api.endpoint), hub_bars(progress):
        url = api.create_repo(repo, private=not public, exist_ok=True)
        if not public and not api.model_info(repo).private:
            raise UsageError(f"{repo} is public: everybody would see the weights; push to a private one, or say public")
        api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=names, commit_message="Add a COPE model")
    return str(url)


def _download(repo: str, revision: str | None) -> Path:
    """Fetch, or find in the cache, what a repository has of a model."""
    try:
        check_repo_id(repo)
    except UsageError as error:
        raise UsageError(f"{repo}: neither a folder nor the name of a repository on the Hub (ORG/NAME)") from error
    with hub_errors(repo, open_hub(to_write=False).endpoint), hub_bars(shown=True):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME]))


def _card(weights: Mapping[str, torch.Tensor], config: CopeConfig) -> str:
    text = f"{config.text_layers} layers of width {config.text_width}, {config.vocabulary} tokens"
    return _CARD.format(
        dim=config.embedding_dim,
        frames=config.num_frames,
        vision=_vision_of(config),
        integration=_integration_of(config),
        text=text if config.text is None else f"`{config.text.backbone}`, {config.text.tuning}",
        n_weights=sum(weight.numel() for weight in weights.values()),
    )


def _vision_of(config: CopeConfig) -> str:
    """The visual tower in words."""
    if config.vision is not None:
        return f"`{config.vision.backbone}`, {config.vision.tuning}"
    layers = f"{config.vision_layers} blocks of width {config.vision_width}, patches of {config.patch_size}"
    if config.convolutions is not None:
        layers = f"convolutions of {', '.join(map(str, config.convolutions))} channels"
    return f"{layers} in {config.image_size} x {config.image_size} pixels"


def _integration_of(config: CopeConfig) -> str:
    """What joins the features of frames, in words."""
    is_mean = config.convolutions is not None or (config.vision is not None and config.vision.frames == "mean")
    return f"{'mean' if is_mean else f'{config.mit_layers} blocks'} of width {config.feature_dim}"
