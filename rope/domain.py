"""The vocabulary: domains, splits, pairs of domains, and one sample."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = [
    "ALL_PAIRS",
    "CONFIG_OF",
    "CROSS_DOMAIN_PAIRS",
    "DOMAINS",
    "LETTER_OF",
    "SAME_DOMAIN_PAIRS",
    "SPLITS",
    "Domain",
    "Frame",
    "Pair",
    "Sample",
    "Split",
    "Video",
]

Domain = Literal["page", "video", "live"]
DOMAINS: Final[tuple[Domain, ...]] = get_args(Domain)

Split = Literal["train", "validation"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

CONFIG_OF: Final[dict[Domain, str]] = {"page": "pages", "video": "videos", "live": "lives"}
"""Domain -> the folder, and the configuration of `load_dataset`, that holds its samples."""

LETTER_OF: Final[dict[Domain, str]] = {"page": "P", "video": "V", "live": "L"}


@dataclass(frozen=True, slots=True)
class Pair:
    """An ordered pair of domains: queries of the first are answered from the second.

    >>> Pair("page", "video").name
    'P2V'
    >>> Pair("page", "video").reverse
    Pair(query='video', gallery='page')
    """

    query: Domain
    gallery: Domain

    @property
    def name(self) -> str:
        """`P2V` and so on."""
        return f"{LETTER_OF[self.query]}2{LETTER_OF[self.gallery]}"

    @property
    def reverse(self) -> "Pair":
        """The same two domains with the roles exchanged."""
        return Pair(self.gallery, self.query)


CROSS_DOMAIN_PAIRS: Final = (
    Pair("page", "video"),
    Pair("video", "page"),
    Pair("page", "live"),
    Pair("live", "page"),
    Pair("video", "live"),
    Pair("live", "video"),
)
"""The six pairs of the benchmark, in the order of the published tables."""

SAME_DOMAIN_PAIRS: Final = tuple(Pair(domain, domain) for domain in DOMAINS)
ALL_PAIRS: Final = CROSS_DOMAIN_PAIRS + SAME_DOMAIN_PAIRS


@dataclass(frozen=True, slots=True)
class Frame:
    """One stored image: its encoded bytes, or the path of the file that holds them.

    Raises:
        ValueError: neither is given.
    """

    data: bytes | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.data is None and self.path is None:
            raise ValueError("a Frame needs the bytes of an image, or a path")


@dataclass(frozen=True, slots=True)
class Video:
    """One video file: its bytes, or its path.

    Raises:
        ValueError: neither is given.
    """

    data: bytes | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.data is None and self.path is None:
            raise ValueError("a Video needs the bytes of a file, or a path")


@dataclass(frozen=True, slots=True)
class Sample:
    """One page, short video or live clip, as an embedder receives it.

    Attributes:
        sample_id: unique inside its domain.
        domain: `page`, `video` or `live`.
        text: the title of a page, the recognised speech of a video or live clip; None where there is none.
        frames: encoded images in temporal order; a page has one, a sample that is a video file none.
        video: the file of a sample that is a video file; None for one that consists of frames.
    """

    sample_id: str
    domain: Domain
    text: str | None
    frames: tuple[Frame, ...]
    video: Video | None = None
