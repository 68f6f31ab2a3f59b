"""Any model of images, or of images and texts, that mteb knows by name, as an embedder.

Frames and texts are embedded separately and summed as `baselines.options.EmbeddingOptions` says. If the model
distinguishes queries and documents, mteb gets the role, as `baselines.roles` says; else a sample has one vector.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import EmbeddingOptions, read_options
from baselines.roles import InRoles, Role, read_roles
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device
from rope.encoders.weights import loading
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["MtebModel", "embedder", "load_mteb_model"]

_PROMPT_TYPES: Final[dict[Role, str]] = {"query": "query", "gallery": "document"}


class MtebModel:
    """Images and texts through `encode` of a model of mteb.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: whether mteb says that it takes texts.
        thread_safe: False, as nothing promises it of every model.
    """

    thread_safe: bool = False

    def __init__(self, model: Any, role: Role | None = None, prompt: str | None = None) -> None:  # noqa: ANN401
        """A model of mteb, in a role with another prompt, or None; without a role mteb gets no prompt type."""
        self._model, self._role = model, role
        self._task = _task_metadata(None if role is None or prompt is None else {_PROMPT_TYPES[role]: prompt})
        self.has_text = "text" in model.mteb_model_meta.modalities
        for part in vars(model).values():
            if isinstance(part, torch.nn.Module):
                part.eval()
        self.fingerprint = fingerprint_of(self)

    def prepare(self, image: npt.NDArray[np.uint8]) -> Image.Image:
        """The image for Pillow; the model prepares it itself."""
        return Image.fromarray(image)

    def encode_images(self, prepared: Sequence[Image.Image]) -> torch.Tensor:
        """float32 [n, dim] of n images."""
        return self._encode("image", prepared)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        return self._encode("text", texts)

    def in_role(self, role: Role, prompt: str | None) -> "MtebModel":
        """The same model in a role."""
        return MtebModel(self._model, role, prompt)

    @property
    def knows_roles(self) -> bool:
        """Whether the model says that it has prompts or instructions."""
        return bool(getattr(self._model, "model_prompts", None) or self._model.mteb_model_meta.use_instructions)

    def _encode(self, kind: str, inputs: Sequence[object]) -> torch.Tensor:
        batch = torch.utils.data.DataLoader(
            _Column(kind, inputs), batch_size=max(1, len(inputs)), collate_fn=lambda items: {kind: items}
        )
        found = self._model.encode(
            batch,
            task_metadata=self._task,
            hf_split="validation",
            hf_subset="default",
            prompt_type=None if self._role is None else _prompt_type(self._role),
            batch_size=len(inputs),
            show_progress_bar=False,
        )
        return torch.as_tensor(found).detach().float().cpu()


class _Column(torch.utils.data.Dataset[object]):
    """Inputs of one kind as models of mteb look at them: rows, and `features` that names the kind."""

    def __init__(self, kind: str, inputs: Sequence[object]) -> None:
        self.features = {kind: kind}
        self._inputs = inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int) -> object:
        return self._inputs[index]


def load_mteb_model(name: str, *, revision: str | None, device: str) -> MtebModel:
    """Load a model by its name in mteb.

    Args:
        name: such as `openai/clip-vit-base-patch32`.
        revision: None for the one that mteb names.
        device: see `choose_device`.

    Raises:
        UsageError: mteb is not installed or cannot load the model, or the model takes no images or gives many vectors.
    """
    with needed_by("baselines:mteb_model", "mteb"):
        mteb = import_module("mteb")
    place = choose_device(device)
    with loading(name, "mteb"):
        model = mteb.get_model(name, revision=revision, device=str(place))
    if "image" not in model.mteb_model_meta.modalities:
        raise UsageError(f"{name} takes {', '.join(model.mteb_model_meta.modalities)} but no images, which samples are")
    if "late-interaction" in (getattr(model.mteb_model_meta, "model_type", None) or ()):
        raise UsageError(
            f"{name} gives many vectors of an input, which are never averaged; run it with --model "
            f"'baselines:sentence_transformer?model={name}'"
        )
    return MtebModel(model)


def embedder(model: str, revision: str = "", **shared: str) -> FusedEmbedder | InRoles:
    """The embedder of `baselines:mteb_model?model=openai/clip-vit-base-patch32`.

    Args:
        model: the name in mteb.
        revision: of the weights; empty for the one that mteb names.
        **shared: see `baselines.options.EmbeddingOptions` and `baselines.roles.read_roles`; `precision` is the model's
            own, `text_weight` is 0 where the model takes no texts.

    Raises:
        UsageError: see `load_mteb_model`; or `precision` is given.
    """
    if "precision" in shared:
        raise UsageError("precision: a model of mteb chooses its own")
    prompts, rest = read_roles(shared)
    options, name = read_options(rest, EmbeddingOptions()), model.rpartition("/")[2]
    encoder = load_mteb_model(model, revision=revision or None, device=options.device)
    if not encoder.has_text and "text_weight" not in rest:
        options = read_options(rest, EmbeddingOptions(text_weight=0))
    if prompts.roles == "two" or (prompts.roles == "auto" and encoder.knows_roles):
        return InRoles(
            name,
            lambda role, prompt: FusedEmbedder(
                name, PooledImages(encoder.in_role(role, prompt), options.pool), options
            ),
            prompts,
        )
    return FusedEmbedder(name, PooledImages(encoder, options.pool), options)


def _prompt_type(role: Role) -> Any:  # noqa: ANN401  an enumeration of mteb
    return import_module("mteb.types").PromptType(_PROMPT_TYPES[role])


def _task_metadata(prompts: dict[str, str] | None) -> Any:  # noqa: ANN401  a class of mteb
    """What mteb's models choose their prompts by: a task of images and texts, with or without prompts of its own."""
    metadata: Any = import_module("mteb.abstasks.task_metadata").TaskMetadata
    return metadata(
        name="RopeEmbedding",
        description="Products on pages, in videos and in live streams.",
        dataset={"path": "rope", "revision": "1"},
        type="Any2AnyRetrieval",
        category="it2it",
        modalities=["image", "text"],
        eval_splits=["validation"],
        eval_langs=["zho-Hans"],
        main_score="hit_rate_at_1",
        is_public=False,
        **({} if prompts is None else {"prompt": prompts}),
    )
