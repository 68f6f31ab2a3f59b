"""What identifies an embedder: a hash of everything that it holds, of the code that runs, and of the packages used.

Nothing has to be listed for a fingerprint, so nothing can be forgotten: it covers all that an object holds, except for
the few names in `_NOT_PART`; what the object does not hold can change a vector only through code.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

__all__ = ["fingerprint_of"]

_OWN: Final = ("rope", "baselines", "cope")
"""Packages whose source is hashed; of the others the version is."""

_NOT_PART: Final = frozenset(
    {
        # Where something lies or came from; what was read from there is hashed itself.
        "_commit_hash",
        "_name_or_path",
        "cache_dir",
        "name_or_path",
        "tokenizer_file",
        "vocab_file",
        # The kind of device is known by the tensors, and its number moves nothing.
        "_device",
        "_target_device",
        "device",
        # What sentence-transformers writes about a model.
        "_model_card_text",
        "_model_card_vars",
        "model_card_data",
    }
)


def fingerprint_of(holder: object, *, without: Collection[str] = ()) -> str:
    """SHA-256, as 64 hex digits, of everything reachable from an object that can move what it computes.

    That is every attribute, down to numbers, texts and arrays: weights with their types and the kind of their device,
    configurations, the tables of tokenizers, steps of preprocessing, options. An object inside that has a text
    `fingerprint` of its own stands for itself. Of classes met on the way, the source of this project's modules and of
    those that they import is hashed, and the version of other packages.

    Args:
        holder: such as an embedder, before its first use, which may fill caches.
        without: names of its own attributes that move nothing, such as the size of a batch where that is so.

    >>> from types import SimpleNamespace as Model
    >>> one, two, three = Model(eps=1e-5, name="a"), Model(eps=1e-6, name="a"), Model(eps=1e-5, name="b")
    >>> fingerprint_of(one) == fingerprint_of(two)
    False
    >>> fingerprint_of(one, without=["name"]) == fingerprint_of(three, without=["name"])
    True
    """
    walk = _Walk()
    parts = [walk.describe_root(holder, without)]
    # Every baseline prepares images with Pillow, whether or not it holds an object of it.
    roots = walk.packages | {"PIL"}
    parts += [f"{root} {_version(root)}".encode() for root in sorted(roots - set(_OWN))]
    parts += [f"{name} {_source_hash(name)}".encode() for name in sorted(_with_imports(frozenset(walk.own_modules)))]
    return _hash(*parts).hex()


class _Walk:
    """Describes objects by hashes of their contents, each once, and remembers whose classes they are of."""

    def __init__(self) -> None:
        self.packages: set[str] = set()
        self.own_modules: set[str] = set()
        self._known: dict[int, bytes] = {}
        self._kept: list[object] = []  # so that no other object gets the identity of one that is known

    def describe_root(self, value: object, without: Collection[str]) -> bytes:
        self._meet(type(value))
        held = {name: part for name, part in _attributes(value).items() if name not in (*without, "fingerprint")}
        self._known[id(value)] = b"root"
        return _hash(b"root", self.describe(held))

    def describe(self, value: object) -> bytes:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            return _hash(type(value).__name__.encode(), repr(value).encode())
        if id(value) not in self._known:
            self._kept.append(value)
            self._known[id(value)] = b"cycle"
            self._known[id(value)] = self._describe(value)
        return self._known[id(value)]

    def _describe(self, value: Any) -> bytes:  # noqa: ANN401
        if isinstance(value, type | FunctionType | BuiltinFunctionType | ModuleType):
            return self._describe_name(value)
        if isinstance(value, MethodType):
            return _hash(b"method", self.describe(value.__self__), value.__name__.encode())
        if type(value) in (list, tuple):
            return _hash(b"list", *(self.describe(part) for part in value))
        if type(value) in (set, frozenset):
            return _hash(b"set", *sorted(self.describe(part) for part in value))
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections", "types"):
            return self._describe_mapping(value)
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return _hash(f"array {value.dtype} {value.shape}".encode(), np.ascontiguousarray(value).tobytes())
        return self._describe_object(value)

    def _describe_name(self, value: Any) -> bytes:  # noqa: ANN401
        """A class, function or module: its name, and what a function has closed over."""
        name = getattr(value, "__qualname__", "")
        self._meet(value)
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or () if _is_filled(cell)]
        inside = [*cells, getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
        parts = [self.describe(part) for part in inside] if isinstance(value, FunctionType) else []
        return _hash(b"name", f"{getattr(value, '__module__', value.__name__)} {name}".encode(), *parts)

    def _describe_mapping(self, value: Mapping[Any, Any]) -> bytes:
        items = ((key, part) for key, part in value.items() if not isinstance(key, str) or key not in _NOT_PART)
        return _hash(b"mapping", *sorted(_hash(self.describe(key), self.describe(part)) for key, part in items))

    def _describe_object(self, value: Any) -> bytes:  # noqa: ANN401
        kind = type(value)
        self._meet(kind)
        name = f"{kind.__module__} {kind.__qualname__}".encode()
        own = getattr(value, "fingerprint", None)
        if isinstance(own, str):
            return _hash(name, own.encode())
        if (tensor := _tensor_bytes(value)) is not None:
            return _hash(name, tensor)
        if name == b"tokenizers Tokenizer":
            # How the last call padded and cut is not part of it.
            table = json.loads(value.to_str()) | {"padding": None, "truncation": None}
            return _hash(name, json.dumps(table).encode())
        if isinstance(value, PurePath):
            return _hash(name, str(value).encode())
        return _hash(name, *(self.describe(part) for part in _state(value)))

    def _meet(self, value: Any) -> None:  # noqa: ANN401
        module = str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))
        root = module.partition(".")[0]
        if root in _OWN:
            self.own_modules.add(module)
        self.packages.add(root)


def _state(value: Any) -> list[object]:  # noqa: ANN401
    """The state of an object, as pickling would save it, without what cannot be saved, such as a lock."""
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:  # whatever its author raises
        return [_attributes(value)]
    if isinstance(reduced, str):
        return [reduced]
    _, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    return [arguments, state, list(items or ()), list(pairs or ())]


def _attributes(value: object) -> dict[str, object]:
    slots = [name for kind in type(value).__mro__ for name in _slots(kind) if hasattr(value, name)]
    return {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}


def _slots(kind: type) -> tuple[str, ...]:
    slots: str | tuple[str, ...] = kind.__dict__.get("__slots__", ())
    named = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in named if name not in ("__dict__", "__weakref__"))


def _is_filled(cell: Any) -> bool:  # noqa: ANN401
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _tensor_bytes(value: Any) -> bytes | None:  # noqa: ANN401
    """A tensor's type, shape, kind of device and numbers, and short forms of torch's small types; else None."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(value, torch.dtype | torch.Size):
        return str(value).encode()
    if isinstance(value, torch.device):
        return str(value.type).encode()
    if not isinstance(value, torch.Tensor):
        return None
    facts = f"{value.dtype} {tuple(value.shape)} {value.device.type}".encode()
    if value.is_meta or value.layout != torch.strided:
        return facts
    numbers = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return _hash(facts, numbers)


def _hash(*parts: Any) -> bytes:  # noqa: ANN401  bytes, or an array of them
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part)
    return digest.digest()


def _version(package: str) -> str:
    """The version of a package without the build, as in `2.9.1+cpu`; empty where it names none."""
    return str(getattr(sys.modules.get(package), "__version__", "")).partition("+")[0]


@cache
def _with_imports(modules: frozenset[str]) -> frozenset[str]:
    """These modules and all of this project that they import, anywhere in their text."""
    found: set[str] = set()
    left = set(modules)
    while left:
        name = left.pop()
        found.add(name)
        left |= set(_imports(name)) - found
    return frozenset(found)


@cache
def _imports(module: str) -> tuple[str, ...]:
    names = {name for name in _imported_names(module) if name.partition(".")[0] in _OWN}
    return tuple(sorted(name for name in names if _file(name) is not None))


def _imported_names(module: str) -> Iterator[str]:
    path = _file(module)
    for node in ast.walk(ast.parse(path.read_bytes())) if path is not None else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _source_hash(module: str) -> str:
    path = _file(module)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""


@cache
def _file(module: str) -> Path | None:
    """The source of a module; None where there is none."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.has_location else None
