"""The vocabulary: domains, splits, pairs of domains, and one sample.

Domains are data: a dataset has those that its release has. The three of ROPE come first everywhere, in the order of the
published tables and with the letters of the published pairs; any other name goes by the rules below.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

__all__ = [
    "CONFIG_OF",
    "CROSS_DOMAIN_PAIRS",
    "DOMAINS",
    "LETTER_OF",
    "SPLITS",
    "Audio",
    "Domain",
    "DomainName",
    "Frame",
    "Pair",
    "Sample",
    "Split",
    "Video",
    "all_pairs",
    "config_of",
    "cross_domain_pairs",
    "domain_of_config",
    "domain_of_label",
    "domain_problem",
    "domains_of",
    "in_order",
    "label_of",
    "may_be_text_alone",
    "pair_of",
    "with_published",
]

Domain = Literal["page", "video", "live"]
"""A domain of ROPE, for code that knows these three and no other."""

DOMAINS: Final[tuple[Domain, ...]] = get_args(Domain)
"""The domains of ROPE, in the order of the published tables."""

DomainName: TypeAlias = str
"""Any domain that a dataset can have; `domain_problem` says which names there are."""

Split = Literal["train", "validation"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

CONFIG_OF: Final[dict[Domain, str]] = {"page": "pages", "video": "videos", "live": "lives"}
"""Domain of ROPE -> the folder, and the configuration of `load_dataset`, that holds its samples; see `config_of`."""

LETTER_OF: Final[dict[DomainName, str]] = {"page": "P", "video": "V", "live": "L"}
"""Domain of ROPE -> its letter in the names of pairs; see `label_of`."""

_NAME: Final = re.compile(r"[a-z]{2,32}")
_RESERVED: Final = frozenset({"aligned", "answer", "image", "mean", "mixed", "product", "querie", "query", "text"})
"""Names that mean something else where a domain's stands: a folder, a column of results, a kind of fault `no_NAME`."""


def domain_problem(name: str) -> str | None:
    """Why a name cannot be that of a domain, as the end of a sentence; None if it can.

    A name is the singular, of lower-case letters only: it becomes a folder with an s behind it, part of the name of a
    table, and, with a 2 behind it, of a pair.

    >>> domain_problem("review"), domain_problem("products")
    (None, 'ends in s, which is what a folder adds; name one sample, as in review for reviews')
    >>> domain_problem("product")
    'is reserved (the reserved names are aligned, answer, image, mean, mixed, product, querie, query, text)'
    """
    if name in _RESERVED:
        return f"is reserved (the reserved names are {', '.join(sorted(_RESERVED))})"
    if not _NAME.fullmatch(name):
        return "is not a domain name; expected 2 to 32 lower-case letters from a to z, such as review"
    if name.endswith("s"):
        return "ends in s, which is what a folder adds; name one sample, as in review for reviews"
    return None


def may_be_text_alone(domain: DomainName) -> bool:
    """Whether a sample of a domain can do without an image and a video: not in ROPE, where each has one.

    >>> may_be_text_alone("page"), may_be_text_alone("review")
    (False, True)
    """
    return domain not in DOMAINS


def config_of(domain: DomainName) -> str:
    """The folder, and the configuration of `load_dataset`, that holds the samples of a domain.

    >>> config_of("page"), config_of("review")
    ('pages', 'reviews')
    """
    return f"{domain}s"


def domain_of_config(config: str) -> DomainName | None:
    """The domain whose samples a folder or configuration holds; None where it is that of no domain.

    >>> domain_of_config("reviews"), domain_of_config("products"), domain_of_config("aligned")
    ('review', None, None)
    """
    domain = config.removesuffix("s")
    return domain if domain != config and domain_problem(domain) is None else None


def in_order(domains: Iterable[DomainName]) -> tuple[DomainName, ...]:
    """Domains in the order of every table: those of ROPE, then the others by name; each once.

    >>> in_order(["session", "live", "review", "page", "live"])
    ('page', 'live', 'review', 'session')
    """
    there = set(domains)
    return (*(domain for domain in DOMAINS if domain in there), *sorted(there - set(DOMAINS)))


def with_published(domains: Iterable[DomainName]) -> tuple[DomainName, ...]:
    """The domains of ROPE and these, in order: what products tables and manifests have a place for, even an empty one.

    >>> with_published(["video", "review"])
    ('page', 'video', 'live', 'review')
    """
    return in_order([*DOMAINS, *domains])


def label_of(domain: DomainName) -> str:
    """What stands for a domain in the name of a pair: the published letter, or else its name.

    >>> label_of("live"), label_of("review")
    ('L', 'review')
    """
    return LETTER_OF.get(domain, domain)


def domain_of_label(label: str) -> DomainName:
    """The domain that `label_of` gives a label.

    >>> domain_of_label("L"), domain_of_label("review")
    ('live', 'review')
    """
    return next((domain for domain, letter in LETTER_OF.items() if letter == label), label)


@dataclass(frozen=True, slots=True)
class Pair:
    """An ordered pair of domains: queries of the first are answered from the second.

    >>> Pair("page", "video").name, Pair("review", "live").name
    ('P2V', 'review2L')
    >>> Pair("page", "video").reverse
    Pair(query='video', gallery='page')
    """

    query: DomainName
    gallery: DomainName

    @property
    def name(self) -> str:
        """`P2V` and so on; no two pairs have the same."""
        return f"{label_of(self.query)}2{label_of(self.gallery)}"

    @property
    def reverse(self) -> "Pair":
        """The same two domains with the roles exchanged."""
        return Pair(self.gallery, self.query)


def pair_of(name: str) -> Pair:
    """The pair that a name stands for.

    >>> pair_of("review2L")
    Pair(query='review', gallery='live')

    Raises:
        ValueError: it is the name of no pair.
    """
    query, _, gallery = name.partition("2")
    pair = Pair(domain_of_label(query), domain_of_label(gallery))
    if pair.name != name or any(domain_problem(domain) is not None for domain in (pair.query, pair.gallery)):
        raise ValueError(f"{name!r} is not a pair of domains, such as P2V")
    return pair


def domains_of(names: Iterable[str]) -> tuple[DomainName, ...]:
    """The domains of pairs given by their names, in order.

    >>> domains_of(["review2P", "P2V"])
    ('page', 'video', 'review')
    """
    pairs = [pair_of(name) for name in names]
    return in_order(domain for pair in pairs for domain in (pair.query, pair.gallery))


def cross_domain_pairs(domains: Iterable[DomainName]) -> tuple[Pair, ...]:
    """The ordered pairs of different domains, each beside its reverse.

    The pairs of ROPE's domains are in the published order, and each further domain adds its own at the end.

    >>> [pair.name for pair in cross_domain_pairs(["review", "video", "page"])]
    ['P2V', 'V2P', 'P2review', 'review2P', 'V2review', 'review2V']
    """
    ordered = in_order(domains)
    unordered = ((a, b) for i, b in enumerate(ordered) for a in ordered[:i])
    return tuple(pair for a, b in unordered for pair in (Pair(a, b), Pair(b, a)))


def all_pairs(domains: Iterable[DomainName]) -> tuple[Pair, ...]:
    """The cross-domain pairs, then each domain with itself.

    >>> [pair.name for pair in all_pairs(["page", "review"])]
    ['P2review', 'review2P', 'P2P', 'review2review']
    """
    ordered = in_order(domains)
    return (*cross_domain_pairs(ordered), *(Pair(domain, domain) for domain in ordered))


CROSS_DOMAIN_PAIRS: Final = cross_domain_pairs(DOMAINS)
"""The six pairs of the benchmark, in the order of the published tables."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file: its bytes, or its path.

    Raises:
        ValueError: neither is given.
    """

    data: bytes | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.data is None and self.path is None:
            raise ValueError(f"{type(self).__name__} needs the bytes of a file, or a path")


@dataclass(frozen=True, slots=True)
class Frame(_Stored):
    """One stored image: its encoded bytes, or the path of the file that holds them."""


@dataclass(frozen=True, slots=True)
class Video(_Stored):
    """One video file: its bytes, or its path."""


@dataclass(frozen=True, slots=True)
class Audio(_Stored):
    """One sound file: its bytes, or its path."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One page, short video, live clip or sample of another domain, as an embedder receives it.

    Attributes:
        sample_id: unique inside its domain.
        domain: `page`, `video`, `live`, or another that the dataset has.
        text: the title of a page, the recognised speech of a video or live clip; None where there is none.
        frames: encoded images in temporal order; a page has one, a sample that is a video file or just a text has none.
        video: the file of a sample that is a video file; None for one that consists of frames.
        audio: a file with the sound of a sample that consists of frames; a video file has its own.
    """

    sample_id: str
    domain: DomainName
    text: str | None
    frames: tuple[Frame, ...]
    video: Video | None = None
    audio: Audio | None = None
