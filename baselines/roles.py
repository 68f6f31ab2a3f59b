"""Embedders that embed a sample otherwise as a query than as a part of a gallery: instructions, prompts, two towers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from rope.bench.running.embedder import Embedder
from rope.domain import DomainName, Sample, domain_problem
from rope.encoders.identity import fingerprint_of
from rope.errors import UsageError

__all__ = ["ROLES", "InRoles", "Prompts", "Role", "Roles", "read_roles"]

Role = Literal["query", "gallery"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

Roles = Literal["auto", "one", "two"]
"""Whether samples have other vectors as queries; `auto` asks the model."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before a text, by role and domain.

    Attributes:
        given: (role, domain) -> a text, or the name of one that the model knows; the domain is None for all others.
        roles: whether samples have other vectors as queries.
    """

    given: Mapping[tuple[Role, DomainName | None], str]
    roles: Roles = "auto"

    def of(self, role: Role, domain: DomainName | None) -> str | None:
        """The prompt of a role in a domain; None for what the model does by itself.

        >>> Prompts({("query", None): "find: ", ("query", "video"): "hear: "}).of("query", "video")
        'hear: '
        """
        return self.given.get((role, domain), self.given.get((role, None)))

    @property
    def domains(self) -> tuple[DomainName | None, ...]:
        """Those with their own prompts, and None for the others."""
        return (None, *sorted({domain for _, domain in self.given if domain is not None}))


def read_roles(given: Mapping[str, str]) -> tuple[Prompts, dict[str, str]]:
    """The options `roles`, `query_prompt`, `gallery_prompt`, `query_prompt_video` and so on, and the other options.

    >>> read_roles({"query_prompt": "find: ", "frames": "4"})
    (Prompts(given={('query', None): 'find: '}, roles='two'), {'frames': '4'})

    Raises:
        UsageError: `roles` has another value, or contradicts the prompts, or the domain is unknown.
    """
    prompts: dict[tuple[Role, DomainName | None], str] = {}
    rest = dict(given)
    for name in given:
        for role in ROLES:
            if name == f"{role}_prompt" or name.startswith(f"{role}_prompt_"):
                domain = name.removeprefix(f"{role}_prompt").removeprefix("_") or None
                if domain is not None and (problem := domain_problem(domain)):
                    raise UsageError(f"{name}: {domain!r} {problem}")
                prompts[role, domain] = rest.pop(name)
    roles = rest.pop("roles", "two" if prompts else "auto")
    if roles not in get_args(Roles):
        raise UsageError(f"roles {roles!r} is not one of {', '.join(get_args(Roles))}")
    if prompts and roles != "two":
        raise UsageError(f"roles={roles}: prompts are given for the roles; leave roles out, or the prompts")
    return Prompts(prompts, roles), rest  # type: ignore[arg-type]


class InRoles:
    """One embedder for each role, and for each domain that has its own prompt.

    Attributes:
        name: what reports call it.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        abstains: whether one of the embedders has no vector of some samples.
    """

    def __init__(self, name: str, make: Callable[[Role, str | None], Embedder], prompts: Prompts) -> None:
        """Make the embedders, each of a role and its prompt."""
        self.name = name
        self._embedders: dict[tuple[Role, DomainName | None], Embedder] = {
            (role, domain): make(role, prompts.of(role, domain)) for role in ROLES for domain in prompts.domains
        }
        self.abstains = any(getattr(one, "abstains", False) for one in self._embedders.values())
        self.fingerprint = fingerprint_of(self)

    def embed(
        self, samples: Sequence[Sample], role: Role = "gallery"
    ) -> npt.NDArray[np.floating[Any]] | list[npt.NDArray[np.floating[Any]]]:
        """Embed n samples of one domain in a role."""
        domain = samples[0].domain if samples and (role, samples[0].domain) in self._embedders else None
        return self._embedders[role, domain].embed(samples)
