"""Models that give many vectors of a text or an image (ColBERT, ColPali), through sentence-transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.options import EmbeddingOptions, read_options
from baselines.roles import Prompts, Role
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading, refuse_missing
from rope.errors import UsageError
from rope.extras import needed_by
from rope.media import decode_frames

__all__ = ["LateInteraction", "late_interaction", "refuse_many_vectors", "why_many_vectors"]

_ARCHITECTURES: Final = ("colbert", "colpali", "colqwen", "colidefics", "colsmol", "colmodern", "colflor")
_PYLATE_KEYS: Final = frozenset({"query_prefix", "document_prefix", "do_query_expansion", "query_expansion"})
_METHODS: Final[dict[Role, str]] = {"query": "encode_query", "gallery": "encode_document"}

Vectors = npt.NDArray[np.float32]


class LateInteraction:
    """All vectors that a model gives of a sample's frames and text, in the role that is asked for.

    Those of several frames, and of frames and text, stand side by side: each vector of a query looks for the most
    similar one among all of a sample's.

    Attributes:
        name: what reports call it.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_images: whether the model takes images.
    """

    def __init__(self, name: str, model: Any, options: EmbeddingOptions, prompts: Prompts) -> None:  # noqa: ANN401
        self.name = name
        self._model, self._options, self._prompts = model.eval(), options, prompts
        self.has_images = "image" in getattr(model, "modalities", ["text"])
        self.fingerprint = fingerprint_of(self)

    def embed(self, samples: Sequence[Sample], role: Role = "gallery") -> list[Vectors]:
        """The vectors of each of n samples, float32 [m, dim] of length 1; none of one without what the model takes."""
        images: list[list[Image.Image]] = [[] for _ in samples]
        if self.has_images and self._options.text_weight < 1:
            for row, sample in zip(images, samples, strict=True):
                if sample.frames or sample.video is not None:
                    row += [Image.fromarray(frame) for frame in decode_frames(sample, self._n_frames(sample))]
        texts = [
            self._options.text_of(sample) if self._options.text_weight > 0 or not row else None
            for sample, row in zip(samples, images, strict=True)
        ]
        of_images = iter(self._encode([image for row in images for image in row], role, None))
        prompt = self._prompts.of(role, samples[0].domain) if samples else None
        of_texts = iter(self._encode([text for text in texts if text is not None], role, prompt))
        bags = [
            [*(next(of_images) for _ in row), *([] if text is None else [next(of_texts)])]
            for row, text in zip(images, texts, strict=True)
        ]
        return [np.concatenate(bag) if bag else np.zeros((0, 0), np.float32) for bag in bags]

    def _n_frames(self, sample: Sample) -> int:
        frames: int = self._options.frames
        return min(frames, len(sample.frames)) if sample.frames else frames

    @torch.inference_mode()
    def _encode(self, inputs: Sequence[object], role: Role, prompt: str | None) -> list[Vectors]:
        if not inputs:
            return []
        known = getattr(self._model, "prompts", None) or {}
        options = {} if prompt is None else {"prompt": known.get(prompt, prompt)}
        call = getattr(self._model, _METHODS[role])
        found = call(list(inputs), batch_size=self._options.images, show_progress_bar=False, **options)
        rows = [torch.as_tensor(one).float().cpu() for one in found]
        # A token that is masked out comes as zeros, and has no direction.
        return [torch.nn.functional.normalize(row[row.any(dim=1)], dim=1).numpy() for row in rows]


def why_many_vectors(source: str) -> str | None:
    """What tells that a checkpoint gives many vectors of an input; None where nothing does.

    Such a checkpoint would load as a model of one vector all the same, with a mean that nobody trained.

    Args:
        source: Hub id or folder.
    """
    settings = _json_of(source, "config_sentence_transformers.json")
    if settings.get("model_type") == "MultiVectorEncoder":
        return "it was saved as a MultiVectorEncoder"
    if _PYLATE_KEYS & set(settings) or str(settings.get("similarity_fn_name", "")).lower().startswith("maxsim"):
        return "its configuration is that of PyLate"
    if _json_of(source, "artifact.metadata"):
        return "it has the artifact.metadata of ColBERT"
    named = _json_of(source, "config.json")
    for architecture in [*(named.get("architectures") or []), named.get("model_type") or ""]:
        if any(known in str(architecture).lower().replace("_", "") for known in _ARCHITECTURES):
            return f"its architecture is {architecture}"
    return None


def refuse_many_vectors(source: str) -> None:
    """Refuse to load a checkpoint as a model of one vector that gives many.

    Raises:
        UsageError: it gives many vectors of an input.
    """
    if why := why_many_vectors(source):
        raise UsageError(
            f"{source} gives many vectors of an input ({why}), which are never averaged; run it with "
            f"--model 'baselines:sentence_transformer?model={source}'"
        )


def late_interaction(source: str, name: str, why: str, prompts: Prompts, given: Mapping[str, str]) -> LateInteraction:
    """Load a checkpoint that gives many vectors of an input.

    Args:
        source: Hub id or folder.
        name: what to call it.
        why: what tells that it is one, from `why_many_vectors`.
        prompts: by role and domain.
        given: the shared options; of `text_weight`, 0 and 1 leave out the texts or the frames.

    Raises:
        UsageError: sentence-transformers has no class for it or cannot load it, or an option does not fit.
    """
    options = read_options(given, EmbeddingOptions())
    if "pool" in given:
        raise UsageError(f"{source} gives many vectors of an image ({why}), and none is pooled; leave out pool")
    if "text_weight" in given and options.text_weight not in (0, 1):
        raise UsageError(
            f"text_weight={options.text_weight:g}: {source} gives many vectors; 0 leaves out the texts, 1 the frames"
        )
    if prompts.roles == "one":
        raise UsageError(f"roles=one: {source} gives other vectors for queries ({why})")
    with needed_by("baselines:sentence_transformer", "baselines"):
        import sentence_transformers
    kind = getattr(sentence_transformers, "MultiVectorEncoder", None)
    if kind is None:
        raise UsageError(
            f"{source} gives many vectors of an input ({why}), for which sentence-transformers 5.5 or later is needed; "
            "they are never averaged"
        )
    with loading(source, "sentence-transformers") as found:
        model: Any = kind(
            source,
            device=str(choose_device(options.device)),
            model_kwargs={"dtype": choose_dtype(options.precision)},
        )
    refuse_missing(source, found.lacking)
    return LateInteraction(name, model, options, prompts)


def _json_of(source: str, file: str) -> dict[str, Any]:
    """A file of settings in a folder or on the Hub; empty where there is none."""
    from transformers.utils.hub import cached_file

    try:
        path = (
            Path(source, file)
            if Path(source).is_dir()
            else cached_file(
                source,
                file,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
                _raise_exceptions_for_gated_repo=False,
            )
        )
        content = json.loads(Path(path).read_text("utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
