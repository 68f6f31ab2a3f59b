"""The options that every baseline on a pretrained model shares, from the text of the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_type_hints

from rope.config import Count, Fraction, check_record, unknown_key, value_of_text
from rope.domain import DomainName, Sample, domain_problem
from rope.errors import UsageError

__all__ = ["TEMPLATES", "EmbeddingOptions", "Pooling", "read_options"]

Pooling = Literal["mean", "max", "first"]


TEMPLATES: Final = {"none": "{}", "en": "a photo of {}", "zh": "一张{}的图片"}
"""Prompts by name; another text with `{}` is its own prompt."""


_NO_LIMIT: Final = ("texts", "decode_side")
"""Options that are None where the command line says `all`."""


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """How a sample's frames and text become one vector, and how the model computes.

    Attributes:
        frames: frames looked at in a video or live clip, at most.
        pool: what the vectors of an image model become over the frames, each of length 1 before: `mean`, `max`
            (in each coordinate) or `first`.
        text_weight: share of the text in the sum of the two vectors, each of length 1; 0 = frames only, 1 = text
            alone. A sample without a text, or whose domain is not in `texts`, is always embedded by its frames.
        texts: domains whose text is read, separated by commas; None, on the command line `all`, for every one.
        template: `none`, `en`, `zh`, or a prompt with `{}` instead of the text.
        precision: `fp32`, `bf16` or `fp16`.
        device: `auto`, `cpu`, `cuda`, `cuda:1` ...
        images: frames that the model sees at a time, about; on a processor each core sees 16 at most.
        decode_side: decode a large JPEG at a half, quarter or eighth of its size, as long as its shorter side is no
            less than this; give at least the side of the model's input. None, on the command line `all`, decodes every
            pixel, as the originals do.
    """

    frames: Count = 8
    pool: Pooling = "mean"
    text_weight: Fraction = 0.5
    texts: tuple[DomainName, ...] | None = None
    template: str = "none"
    precision: str = "fp32"
    device: str = "auto"
    images: Count = 64
    decode_side: Count | None = None

    def __post_init__(self) -> None:
        check_record(self)
        for domain in self.texts or ():
            if problem := domain_problem(domain):
                raise UsageError(f"texts: {domain!r} {problem}")
        if self.template not in TEMPLATES and "{}" not in self.template:
            raise UsageError(f"template {self.template!r} has no {{}} and is not one of {', '.join(TEMPLATES)}")

    def text_of(self, sample: Sample) -> str | None:
        """A sample's text in the template; None where it has none, or where that of its domain is not read.

        >>> EmbeddingOptions(texts=("page",)).text_of(Sample("1", "live", "red dress", ())) is None
        True
        """
        if not sample.text or (self.texts is not None and sample.domain not in self.texts):
            return None
        return self.prompt(sample.text)

    def prompt(self, text: str) -> str:
        """Put a text into the template.

        >>> EmbeddingOptions(template="zh").prompt("连衣裙")
        '一张连衣裙的图片'
        """
        return TEMPLATES.get(self.template, self.template).replace("{}", text)


def read_options(given: Mapping[str, str], defaults: EmbeddingOptions) -> EmbeddingOptions:
    """The defaults of a baseline with what the command line says otherwise.

    >>> read_options({"frames": "4", "texts": "page,live"}, EmbeddingOptions()).texts
    ('page', 'live')

    Raises:
        UsageError: the option is unknown, or its value does not fit; names it.
    """
    hints = get_type_hints(EmbeddingOptions, include_extras=True)
    if unknown := sorted(set(given) - set(hints)):
        raise UsageError(unknown_key(unknown[0], hints, "option"))
    values: dict[str, Any] = {
        name: None if text == "all" and name in _NO_LIMIT else value_of_text(hints[name], text, name)
        for name, text in given.items()
    }
    return replace(defaults, **values)
