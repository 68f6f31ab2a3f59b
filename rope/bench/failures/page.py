"""Failures as one HTML file that needs nothing else: its pictures, its style and a few lines of script are in it."""

from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from rope.bench.doctor.markers import shapes_of
from rope.bench.failures.found import Failure
from rope.bench.io.provenance import Provenance
from rope.dataset.pictures import SamplePicture
from rope.domain import DomainName, domains_of, pair_of

__all__ = ["render_page"]


def render_page(
    failures: Sequence[Failure],
    provenance: Provenance,
    choice: str,
    part: str | None,
    other: str | None,
    pictures: Mapping[DomainName, Mapping[str, SamplePicture]],
) -> str:
    """Render the page: a complete HTML document, the same for the same input.

    Args:
        failures: in the order to show them in.
        provenance: what they are of.
        choice: in words, which queries these are.
        part: the slice that they are of; None for all queries.
        other: the name of the model that they were compared with; None without one.
        pictures: domain -> sample id -> what to show of it, for all samples of `failures`.
    """
    environment = Environment(
        loader=PackageLoader("rope.bench.failures", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"arrow": lambda name: name.replace("2", "→")}
    return environment.get_template("page.html.j2").render(
        failures=failures,
        provenance=provenance,
        choice=choice,
        part=part,
        other=other,
        pictures=pictures,
        nothing=SamplePicture((), None, "not in the dataset"),
        pair_of=pair_of,
        shapes=shapes_of(dict.fromkeys(domain for one in failures for domain in domains_of([one.pair]))),
        pairs=list(dict.fromkeys(one.pair for one in failures)),
        categories=sorted({one.category for one in failures if one.category is not None}),
    )
