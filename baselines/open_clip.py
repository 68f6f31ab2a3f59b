"""Any model of open_clip as an embedder: Marqo-FashionCLIP, Marqo-FashionSigLIP, SigLIP 2 ..."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import EmbeddingOptions, read_options
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import check_file, loading, note
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["OpenClip", "embedder", "load_open_clip"]


class OpenClip:
    """Image and text features as `encode_image` and `encode_text` of open_clip give them, not normalised.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: True.
        thread_safe: True.
    """

    has_text: bool = True
    thread_safe: bool = True

    def __init__(
        self,
        model: Any,  # noqa: ANN401  open_clip has no types
        transform: Callable[[Image.Image], torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
    ) -> None:
        self._model = model.eval()
        self._transform = transform
        self._tokenizer = tokenizer
        self._like = next(model.parameters())
        self.fingerprint = fingerprint_of(self)

    def prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """uint8 [height, width, 3] to float32 [3, h, w]."""
        return self._transform(Image.fromarray(image))

    @torch.inference_mode()
    def encode_images(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """float32 [n, dim] of n prepared images."""
        pixels = torch.stack(list(prepared)).to(self._like.device, self._like.dtype)
        return cast("torch.Tensor", self._model.encode_image(pixels)).float()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        ids = self._tokenizer(list(texts)).to(self._like.device)
        return cast("torch.Tensor", self._model.encode_text(ids)).float()


def load_open_clip(
    source: str, *, pretrained: str | None, precision: str, device: str, trained_as: str | None = None
) -> OpenClip:
    """Load a model of open_clip.

    A published name of weights brings its activation and preprocessing, and so does `open_clip_config.json`. A file of
    weights tells neither: they are those of the `open_clip_config.json` next to it or of `trained_as`, and are said on
    stderr.

    Args:
        source: an architecture such as `ViT-B-16`, or `hf-hub:Marqo/marqo-fashionSigLIP`, or `local-dir:FOLDER`.
        pretrained: for an architecture, its weights: a name or a file. With None they are random, and so refused.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `choose_device`.
        trained_as: for a file, a published name of weights of this architecture that were trained with the same
            activation and preprocessing, or `default` for those that open_clip takes for the architecture.

    Raises:
        UsageError: open_clip is not installed or cannot load it, weights are missing, or nothing tells the settings.
    """
    with needed_by("baselines:open_clip", "baselines"):
        import open_clip
    is_whole = source.startswith(("hf-hub:", "local-dir:"))
    if pretrained is None and not is_whole:
        raise UsageError(f"open_clip model {source}: name its weights with pretrained=, or the model by hf-hub:")
    is_file = pretrained is not None and Path(pretrained).exists()
    if trained_as is not None and not is_file:
        raise UsageError(f"trained_as={trained_as}: is for a file of weights; {pretrained or source} says it itself")
    settings = _settings(open_clip, source, pretrained, trained_as, is_file=is_file)
    where = source.removeprefix("local-dir:") if is_whole else str(pretrained)
    with loading(where, f"open_clip as {source}"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "QuickGELU mismatch")  # settled by `settings`
        model, transform = open_clip.create_model_from_pretrained(source, pretrained=pretrained, **settings)
        tokenizer = open_clip.get_tokenizer(source)
    if is_file or source.startswith("local-dir:"):
        _say_settings(open_clip, source, where, settings, transform)
    model = model.to(choose_device(device), choose_dtype(precision))
    return OpenClip(model, transform, tokenizer)


def embedder(model: str, pretrained: str = "", trained_as: str = "", **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:open_clip?model=hf-hub:Marqo/marqo-fashionSigLIP`.

    Args:
        model: see `load_open_clip`.
        pretrained: see `load_open_clip`.
        trained_as: see `load_open_clip`.
        **shared: see `baselines.options.EmbeddingOptions`.
    """
    options = read_options(shared, EmbeddingOptions())
    encoder = load_open_clip(
        model,
        pretrained=pretrained or None,
        precision=options.precision,
        device=options.device,
        trained_as=trained_as or None,
    )
    name = model.rstrip("/").rpartition("/")[2]
    return FusedEmbedder(name, PooledImages(encoder, options.pool), options)


def _settings(
    open_clip: Any,  # noqa: ANN401  open_clip has no types
    source: str,
    pretrained: str | None,
    trained_as: str | None,
    *,
    is_file: bool,
) -> dict[str, Any]:
    """Activation and preprocessing that the weights were trained with, as arguments of open_clip.

    Raises:
        UsageError: the weights are a file that does not say, or the name is unknown.
    """
    if pretrained is None:
        return {}
    if not is_file:
        return _activation(open_clip.get_pretrained_cfg(source, pretrained))
    check_file(Path(pretrained), "weights of open_clip")
    beside = Path(pretrained).with_name("open_clip_config.json")
    names = open_clip.list_pretrained_tags_by_model(source)
    if trained_as == "default":
        return {}
    if trained_as is not None:
        if trained_as not in names:
            raise UsageError(f"trained_as={trained_as}: open_clip has no such weights of {source}, but {_list(names)}")
        published = open_clip.get_pretrained_cfg(source, trained_as)
        return _activation(published) | _preprocessing(published)
    if beside.is_file():
        config = _read_config(beside)
        return _activation(config.get("model_cfg", {})) | _preprocessing(config.get("preprocess_cfg", {}))
    raise UsageError(
        f"{pretrained}: a file of weights does not tell the activation and preprocessing it was trained with; name "
        f"published weights that share them with trained_as=, which are {_list(names)}, say trained_as=default for "
        "those of the architecture, or put its open_clip_config.json next to it"
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
        return {key: dict(config.get(key, {})) for key in ("model_cfg", "preprocess_cfg")}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: is not a configuration of open_clip ({error})") from error


def _activation(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"quick_gelu": config["quick_gelu"]} if "quick_gelu" in config else {}


def _preprocessing(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("mean", "std", "interpolation", "resize_mode")
    return {f"image_{name}": config[name] for name in names if config.get(name) is not None}


def _say_settings(open_clip: Any, source: str, where: str, settings: Mapping[str, Any], transform: object) -> None:  # noqa: ANN401
    folder = source.removeprefix("local-dir:")
    is_folder = folder != source
    config = _read_config(Path(folder) / "open_clip_config.json")["model_cfg"] if is_folder else None
    is_quick = {**(config or open_clip.get_model_config(source)), **settings}.get("quick_gelu", False)
    steps = " ".join(str(transform).split())
    note(f"{where}: taken as trained with {'QuickGELU' if is_quick else 'GELU'} and the preprocessing {steps}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
