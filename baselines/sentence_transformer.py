"""Any model of sentence-transformers as an embedder: of images and texts, such as CLIP, or of texts only."""

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.late_interaction import late_interaction, why_many_vectors
from baselines.options import EmbeddingOptions, read_options
from baselines.roles import InRoles, Role, read_roles
from rope.bench.running.embedder import Embedder
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading, note, refuse_missing
from rope.errors import UsageError
from rope.extras import needed_by, require
from rope.schema import EMPTY_TEXT

__all__ = ["SentenceTransformerModel", "TextsAlone", "embedder", "knows_roles", "load_sentence_transformer"]

_POOLER = r"(.*\.)?pooler\..*"

_METHODS: Final[dict[Role | None, str]] = {None: "encode", "query": "encode_query", "gallery": "encode_document"}


class SentenceTransformerModel:
    """Images and texts through `SentenceTransformer.encode`.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: whether it takes texts.
        has_images: whether it takes images.
        thread_safe: False, as nothing promises it of every model.
    """

    thread_safe: bool = False

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        batch_size: int,
        role: Role | None = None,
        prompt: str | None = None,
    ) -> None:
        """A model in a role, with another prompt than its own or None; without a role as `encode` has it."""
        self._model = model.eval()
        self._batch_size, self._role = batch_size, role
        self._prompt = None if prompt is None else getattr(model, "prompts", {}).get(prompt, prompt)
        kinds = getattr(model, "modalities", ["text", "image"])
        self.has_text, self.has_images = "text" in kinds, "image" in kinds
        self.fingerprint = fingerprint_of(self)

    def prepare(self, image: npt.NDArray[np.uint8]) -> Image.Image:
        """The image for Pillow; the model prepares it itself."""
        return Image.fromarray(image)

    def encode_images(self, prepared: Sequence[Image.Image]) -> torch.Tensor:
        """float32 [n, dim] of n images."""
        return self._encode(prepared)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        return self._encode(texts, **({} if self._prompt is None else {"prompt": self._prompt}))

    def in_role(self, role: Role, prompt: str | None) -> "SentenceTransformerModel":
        """The same model in a role."""
        return SentenceTransformerModel(self._model, self._batch_size, role, prompt)

    @property
    def knows_roles(self) -> bool:
        """Whether it embeds a query differently than a document: by its own prompts, or by a part for each."""
        return knows_roles(self._model)

    def _encode(self, inputs: Sequence[object], **prompt: str) -> torch.Tensor:
        call = getattr(self._model, _METHODS[self._role])
        found = call(
            list(inputs), batch_size=self._batch_size, convert_to_tensor=True, show_progress_bar=False, **prompt
        )
        return cast("torch.Tensor", found).float()


def knows_roles(model: Any) -> bool:  # noqa: ANN401  a model of sentence-transformers
    """Whether a model embeds a query differently than a document: by its own prompts, or by a part for each."""
    prompts = getattr(model, "prompts", None) or {}
    of_document = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), None)
    return (prompts.get("query") or "") != (of_document or "") or any(type(part).__name__ == "Router" for part in model)


class TextsAlone:
    """A model that takes no images: the text of every sample, and nothing else, is embedded.

    Attributes:
        name: what reports call it.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
    """

    def __init__(self, name: str, encoder: SentenceTransformerModel, options: EmbeddingOptions) -> None:
        self.name = name
        self._encoder, self._options = encoder, options
        self.fingerprint = fingerprint_of(self)
        self._has_said = False

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples as float32 [n, dim], every row of length 1.

        One without a text that is read is given as `空`, the release's mark for none, and the first is named on
        stderr: all such are alike, and ties count against a model.
        """
        if not samples:
            return np.zeros((0, 0), np.float32)
        texts = [self._options.text_of(sample) for sample in samples]
        if None in texts and not self._has_said:
            self._has_said = True
            first = samples[texts.index(None)]
            note(f"{self.name}: {first.domain} {first.sample_id} has no text that is read; all such get one vector")
        found = self._encoder.encode_texts([EMPTY_TEXT if text is None else text for text in texts])
        return torch.nn.functional.normalize(found, dim=-1).cpu().numpy()


def load_sentence_transformer(source: str, *, precision: str, device: str, images: int) -> SentenceTransformerModel:
    """Load a model from the Hub or a folder; `images` is how many it sees at a time.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load it, or weights are missing.
    """
    with needed_by("baselines:sentence_transformer", "baselines"):
        from sentence_transformers import SentenceTransformer
    dtype = choose_dtype(precision)
    with loading(source, "sentence-transformers", may_lack=_POOLER) as found:
        model: Any = SentenceTransformer(source, device=str(choose_device(device)), model_kwargs={"dtype": dtype})
    if "pooler" in repr(getattr(model[0], "modality_config", "pooler")):
        refuse_missing(source, found.lacking)
    return SentenceTransformerModel(model, images)


def embedder(model: str, **shared: str) -> Embedder:
    """The embedder of `baselines:sentence_transformer?model=sentence-transformers/clip-ViT-B-32`.

    A model that embeds queries differently than documents, or for which prompts are given, does so in roles. One that
    gives many vectors of a text or an image, such as ColBERT and ColPali, gives them all.

    Args:
        model: Hub id or folder.
        **shared: see `baselines.options.EmbeddingOptions` and `baselines.roles.read_roles`; `text_weight` is 1 for a
            model of texts only, 0 for one of images.

    Raises:
        UsageError: see `load_sentence_transformer`; or `text_weight` asks for what the model does not take.
    """
    prompts, rest = read_roles(shared)
    options = read_options(rest, EmbeddingOptions())
    require("sentence_transformers", "baselines:sentence_transformer", "baselines")  # before the Hub is asked
    name = model.rstrip("/").rpartition("/")[2]
    if why := why_many_vectors(model):
        return late_interaction(model, name, why, prompts, rest)
    encoder = load_sentence_transformer(
        model, precision=options.precision, device=options.device, images=options.images
    )
    if not encoder.has_images:
        if "text_weight" in rest and options.text_weight != 1:
            raise UsageError(f"{model} takes texts and no images; give text_weight=1, or leave it out")
        options = read_options(rest, EmbeddingOptions(text_weight=1))
    elif not encoder.has_text and "text_weight" not in rest:
        options = read_options(rest, EmbeddingOptions(text_weight=0))

    def made_of(one: SentenceTransformerModel) -> Embedder:
        if not one.has_images:
            return TextsAlone(name, one, options)
        return FusedEmbedder(name, PooledImages(one, options.pool), options)

    if prompts.roles == "two" or (prompts.roles == "auto" and encoder.knows_roles):
        return InRoles(name, lambda role, prompt: made_of(encoder.in_role(role, prompt)), prompts)
    return made_of(encoder)
