"""The interface of a model to benchmark, and how one is found by name."""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, TypeGuard
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from rope.domain import Sample
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = [
    "Embedder",
    "EmbedderOrigin",
    "ModelKind",
    "NamedModel",
    "find_embedder",
    "find_model",
    "has_roles",
    "load_embedder",
    "takes_role",
]

_FILE: Final = re.compile(r"(.+\.py):([^:]+)")
_MODULE: Final = re.compile(r"([^:]+):(.+)")


class NamedModel(Protocol):
    """Whatever a run works with, such as an `Embedder`; what an embedder may have beside, this may have too."""

    @property
    def name(self) -> str:
        """The name in reports; a plain attribute will do."""
        ...


class Embedder(NamedModel, Protocol):
    """Anything that turns samples into vectors.

    An embedder may also have an attribute `fingerprint: str` that changes with its weights and settings; vectors of
    an earlier run are then kept only for an embedder with the same one. Without it, the source of its class, and of
    what that imports, stands for it. With an attribute `training_seed: int`, results keep the seed of the training run
    that made the model, which comparisons over several seeds name.

    `embed` may take another argument, `role`, which is `query` or `gallery`: each sample is then embedded in both
    roles, and its vector as a query is compared with those that samples have in a gallery.

    It may also return a list of n arrays [m, dim], where m may differ: many vectors a sample (late interaction), or
    none. With an attribute `abstains = True`, a row of an array that is all NaN says that the model has no vector for
    that sample, such as a model of texts for a sample without one. An attribute `elsewhere` names options that say
    where or how fast it computes and not what, so that a run can go on with others; `spent: str` is what it has cost.
    """

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.floating[Any]] | list[npt.NDArray[np.floating[Any]]]:
        """Embed n samples, all of one domain, as floats [n, dim]; dim is the same in every call and domain."""
        ...


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A kind of model that is found by name.

    Attributes:
        factory: the function of a module that makes one.
        method: what it must have beside a name.
        needs: that, for error texts.
    """

    factory: str
    method: str
    needs: str

    def has(self, value: object) -> bool:
        """Whether something is one."""
        is_named = isinstance(getattr(value, "name", None), str)
        return is_named and callable(getattr(value, self.method, None)) and not isinstance(value, type)


_EMBEDDER: Final = ModelKind("embedder", "embed", "a method `embed(samples)` that returns a float array [n, dim]")


@dataclass(frozen=True, slots=True)
class EmbedderOrigin:
    """How an embedder was found.

    Attributes:
        entry: the module that it was found in by name; None where an object was given.
        name: of the object in the module.
        options: given with the name.
    """

    entry: str | None = None
    name: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def has_roles(embedder: Embedder) -> bool:
    """Whether `embed` has a parameter `role`.

    >>> class Model:
    ...     name = "two towers"
    ...     def embed(self, samples, role="gallery"): ...
    >>> has_roles(Model())
    True
    """
    return takes_role(embedder.embed)


def takes_role(embed: Callable[..., object]) -> bool:
    """Whether a function has a parameter `role`.

    >>> takes_role(lambda samples: samples), takes_role(lambda samples, role: samples)
    (False, True)
    """
    try:
        role = inspect.signature(embed).parameters.get("role")
    except (TypeError, ValueError):  # made in C
        return False
    return role is not None and role.kind is not role.VAR_KEYWORD


def load_embedder(spec: str) -> Embedder:
    """An embedder by its name, as `find_embedder` finds it.

    >>> load_embedder("baselines:handcrafted").name
    'handcrafted'

    Raises:
        UsageError: as `find_embedder`.
    """
    return find_embedder(spec)[0]


def find_embedder(spec: str) -> tuple[Embedder, EmbedderOrigin]:
    """Find an embedder by `module:object`, with options as in `my_model:Model?size=large&frames=8`.

    The object is an embedder, or a class or function that returns one and is called with the options as keyword
    arguments (strings). A module in place of the object stands for its function `embedder`. Where a module has no such
    object but a function `embedder` that takes a text, that gets it: `cope:runs/first` is
    `cope.embedder("runs/first")`. Modules are looked for where Python does, then in the current folder; a file, as in
    `models/mine.py:Model`, is one too, and imports what lies next to it.

    Returns:
        The embedder, and what `rope.bench.running.run.run_embedder` needs to know it again.

    Raises:
        UsageError: the text is of another form, the module or object does not exist, the options do not fit, or the
            result is not an embedder. What the module itself raises is not caught.
    """
    return find_model(spec, _EMBEDDER)


def find_model(spec: str, kind: ModelKind) -> tuple[Any, EmbedderOrigin]:
    """Find a model of a kind by `module:object`; all else is as in `find_embedder`."""
    place, _, query = spec.partition("?")
    named = _FILE.fullmatch(place) or _MODULE.fullmatch(place)
    if named is None:
        raise UsageError(
            f"--model {spec!r}: expected module:object, as in baselines:handcrafted, my_model:Model or "
            "models/mine.py:Model"
        )
    module_name, object_name = named.groups()
    module = _import_file(Path(module_name)) if module_name.endswith(".py") else _import(module_name)
    found = _find(module, object_name, kind)
    options = _options(query, spec)
    if callable(found) and not kind.has(found):
        found = _call(found, options, place)
    elif options:
        raise UsageError(f"{place} is not a class or function, so it takes no options; got {query!r}")
    if not kind.has(found):
        article = "an" if kind.factory[0] in "aeiou" else "a"
        raise UsageError(
            f"{place} gives {type(found).__name__}, which is not {article} {kind.factory}: it needs a string `name` "
            f"and {kind.needs}"
        )
    return found, EmbedderOrigin(module.__name__, object_name, options)


def _import_file(file: Path) -> ModuleType:
    """The module of a file; under its own name, unless another module has that."""
    if not file.is_file():
        raise UsageError(f"--model: {file}: no such file")
    _look_in(file.absolute().parent)
    is_a_name = file.stem.isidentifier() and file.stem != "__main__"
    found = importlib.util.find_spec(file.stem) if is_a_name else None
    if found is not None and found.origin is not None and Path(found.origin).resolve() == file.resolve():
        return _import(file.stem)
    name = f"{file.stem}_"
    while name in sys.modules:
        if Path(sys.modules[name].__file__ or "").resolve() == file.resolve():
            return sys.modules[name]
        name += "_"
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None, "the name ends in .py"
    assert spec.loader is not None, "the name ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as Python does: dataclasses look their module up
    try:
        with _explained(str(file), ""):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        # Last, so that a file of the user's never hides an installed module that something imports later.
        sys.path.append(str(folder))


def _import(name: str) -> ModuleType:
    _look_in(Path.cwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"--model: {name!r} cannot be the name of a module; of a file, write the ending .py too")
    with _explained(f"module {name!r}", name):
        return importlib.import_module(name)


@contextmanager
def _explained(what: str, name: str) -> Iterator[None]:
    """Say what an import lacks: the module `name` itself, or something that it needs."""
    try:
        with needed_by(what):
            yield
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"no module {error.name!r} in Python's path or in {Path.cwd()}") from error
        raise UsageError(f"{what} needs {error.name!r}, which is not installed") from error


def _find(module: ModuleType, name: str, kind: ModelKind) -> object:
    found: object = getattr(module, name, None)
    if isinstance(found, ModuleType):
        return _find(found, kind.factory, kind)
    maker = getattr(module, kind.factory, None)
    if found is None and not kind.has(maker) and _takes_a_text(maker):
        return partial(maker, name)
    if found is None:
        names = [candidate for candidate in dir(module) if not candidate.startswith("_")]
        own = getattr(module, "__all__", None) or [one for one in names if _is_own(module, one, kind)]
        raise UsageError(f"{module.__name__} has no {name!r}; it has {', '.join(own) or 'nothing that is public'}")
    return found


def _takes_a_text(maker: object) -> TypeGuard[Callable[..., object]]:
    """Whether something is a function that can be called with one argument."""
    if not callable(maker):
        return False
    try:
        inspect.signature(maker).bind("")
    except TypeError:
        return False
    return True


def _is_own(module: ModuleType, name: str, kind: ModelKind) -> bool:
    """Whether `name` may be a model of the module, and not something that it imported."""
    value = getattr(module, name)
    if isinstance(value, ModuleType):
        return value.__name__ == f"{module.__name__}.{name}"
    return kind.has(value) or (callable(value) and getattr(value, "__module__", None) == module.__name__)


def _options(query: str, spec: str) -> dict[str, str]:
    """Keyword arguments of `key=value&key=value`.

    >>> _options("size=large&path=a/b:c", "")
    {'size': 'large', 'path': 'a/b:c'}
    """
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise UsageError(f"--model {spec!r}: expected key=value&key=value after the question mark") from error
    if twice := [key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i])]:
        raise UsageError(f"--model {spec!r}: the option {twice[0]!r} is given twice")
    return dict(pairs)


def _call(factory: Any, options: dict[str, str], place: str) -> object:  # noqa: ANN401  checked by its signature
    signature = inspect.signature(factory)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise UsageError(f"{place}: the options do not fit: {error}; it takes {signature}") from error
    result: object = factory(**options)
    return result
