"""The source of a model: the files of the user's own code that decide what it computes, each with a hash.

Imports are read from the text of the files and not from what happens to be loaded, so that two processes that were
started in different ways find the same files. Nothing is imported here.
"""

import ast
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from rope.files import sha256_of

__all__ = ["ModelSource", "named_files", "settings_of", "source_of"]

_HARNESS: Final = __name__.partition(".")[0]
"""This package: it calls the model, and is not part of it."""

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_DIGITS: Final = 16
_SETTINGS: Final = ("config", "merges", "preprocessor", "processor", "special_tokens", "tokenizer", "vocab")
"""Parts of the names of files beside weights that say how these are used."""

_ATOMS: Final = (str, bytes, int, float, complex, type(None), ModuleType)
"""Of which nothing more can be asked."""

_hashed: Final[dict[str, tuple[ModuleSpec, str]]] = {}
"""Module -> the spec that it was loaded by and the hash that its file had, when this process first looked."""

_MOST_OBJECTS: Final = 20_000
"""Objects looked at inside an embedder, so that a graph without end costs no more than a moment."""

_WEIGHTS: Final = (
    *(".bin", ".ckpt", ".h5", ".joblib", ".msgpack", ".npy", ".npz"),
    *(".onnx", ".pkl", ".pt", ".pth", ".safetensors", ".tflite"),
)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What is known of the code of a model.

    Attributes:
        files: name such as `my_model.py` or `models/net.py` -> 16 hex digits of the file's SHA-256.
        unseen: why the code cannot be known, in words; None where it can.
    """

    files: Mapping[str, str]
    unseen: str | None = None


def source_of(embedder: object, entry: str | None = None) -> ModelSource:
    """The files of Python that an embedder consists of.

    These are the modules of its class and base classes, of the functions and objects that it holds, and of `entry`,
    and every module that one of these imports, wherever in the file, and so on. The standard library, installed
    packages and this one are left out, except for the package that the embedder's class is from.

    Files of weights whose path stands in the code as one text count too, relative to the current folder or to that of
    the code. What is imported by a name that is computed is not seen, and neither are other files that are read.

    Args:
        embedder: the object.
        entry: name of the module that it was found in, where it was found by name.
    """
    definitions = list(_definitions(embedder))
    names = [type(embedder).__module__, *([entry] if entry else [])]
    kept = {name.partition(".")[0] for name in names} - {_HARNESS, "builtins"} - set(sys.stdlib_module_names)
    at_prompt = [one for one in definitions if one.__module__ == "__main__" and _file_of("__main__") is None]
    if at_prompt:
        return ModelSource({}, f"{at_prompt[0].__qualname__} was defined in a notebook or at a prompt")
    waiting = [*([entry] if entry else []), *(one.__module__ for one in definitions if one.__module__)]
    found: dict[str, tuple[str, Path]] = {}
    looked_at: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in looked_at:
            continue
        looked_at.add(name)
        path = _file_of(name)
        if path is None or not path.is_file() or not _is_own(name, path, kept):
            continue
        found[_label(name, path)] = name, path
        waiting += _imported(path, _package_of(name, path))
    files = {label: sha256_of(found[label][1])[:_DIGITS] for label in sorted(found)}
    weights = {text: file for _, path in found.values() for text, file in _weights_named_in(path).items()}
    edited = [label for label, sha256 in files.items() if _was_edited(found[label][0], sha256)]
    if edited:
        return ModelSource(files, f"{edited[0]} was edited after it was imported, so start Python again")
    if not files:
        return ModelSource(files, f"no source file of {type(embedder).__qualname__} can be found")
    return ModelSource(files | {text: sha256_of(weights[text])[:_DIGITS] for text in sorted(weights)})


def settings_of(embedder: object) -> dict[str, str]:
    """The values that an object keeps under the names of its constructor's parameters, where these are plain.

    >>> class Model:
    ...     def __init__(self, frames):
    ...         self.frames = frames
    >>> settings_of(Model(8))
    {'frames': '8'}
    """
    try:
        parameters = inspect.signature(type(embedder)).parameters
    except (TypeError, ValueError):  # a class written in C
        return {}
    held = {name: getattr(embedder, name, getattr(embedder, f"_{name}", ...)) for name in parameters}
    return {name: _plain_text(value) for name, value in held.items() if _is_plain(value)}


def named_files(settings: Mapping[str, str]) -> dict[str, str]:
    """Hashes of files that settings name: path -> 16 hex digits.

    Of a folder, those directly in it that hold weights or, by their names, configuration or a vocabulary; others, such
    as results, may come to lie there between two runs.
    """
    files: dict[str, str] = {}
    for value in settings.values():
        try:
            is_file, is_folder = Path(value).is_file(), bool(value) and Path(value).is_dir()
        except (OSError, ValueError):  # too long for a path, or with a zero byte
            continue
        paths = [Path(value)] if is_file else sorted(Path(value).iterdir()) if is_folder else []
        wanted = [path for path in paths if path.is_file() and (is_file or _is_of_model(path.name.lower()))]
        files |= {path.as_posix(): sha256_of(path)[:_DIGITS] for path in wanted}
    return files


def _is_of_model(name: str) -> bool:
    return name.endswith(_WEIGHTS) or any(part in name for part in _SETTINGS)


def _definitions(embedder: object) -> Iterator[type | FunctionType]:
    """The classes and functions of an object, as far as objects of the user's own classes hold them."""
    waiting, seen = [embedder], {id(embedder)}
    kept_alive: list[object] = []  # an id is of one object only while that lives
    while waiting and len(seen) < _MOST_OBJECTS:
        value = waiting.pop()
        kept_alive.append(value)
        if isinstance(value, type):
            for base in value.__mro__[:-1]:  # the last is object
                yield base
                yield from (one for one in vars(base).values() if isinstance(one, FunctionType))
        elif isinstance(value, FunctionType):
            yield value
        for held in _held(value, is_whole=value is embedder):
            if id(held) not in seen and not isinstance(held, _ATOMS):
                seen.add(id(held))
                waiting.append(held)


def _held(value: Any, *, is_whole: bool) -> list[object]:  # noqa: ANN401  any object
    """What an object holds; nothing where its class is of an installed package that is not a container."""
    if isinstance(value, (*_ATOMS, type)):
        return []
    if isinstance(value, FunctionType):
        wrapped = [value.__wrapped__] if hasattr(value, "__wrapped__") else []
        return wrapped + [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    held: list[object] = [type(value)]
    path = _file_of(type(value).__module__)
    inside = getattr(value, "__dict__", {})
    if is_whole or "_modules" in inside or (path is not None and _is_own(type(value).__module__, path, set())):
        slots = [name for base in type(value).__mro__ for name in getattr(base, "__slots__", ())]
        held += [*inside.values(), *(getattr(value, name, None) for name in slots)]
    return held


def _is_empty(cell: Any) -> bool:  # noqa: ANN401  types.CellType has no usable check
    try:
        return cell.cell_contents is None
    except ValueError:
        return True


def _was_edited(name: str, sha256: str) -> bool:
    """Whether a module's file has changed since this process first looked at it, and was not loaded again since."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None:
        return False
    first = _hashed.setdefault(name, (spec, sha256))
    if first[0] is not spec:
        _hashed[name] = spec, sha256
        return False
    return first[1] != sha256


def _is_own(name: str, path: Path, kept: set[str]) -> bool:
    """Whether a module is the user's own: of no installed package, not of Python, not of this package."""
    top = name.partition(".")[0]
    if top == _HARNESS:
        return False
    if top in kept:
        return True
    resolved = path.resolve()
    return _INSTALLED.isdisjoint(resolved.parts) and _standard_library().isdisjoint(resolved.parents)


@cache
def _standard_library() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib"))


def _file_of(name: str) -> Path | None:
    """The file of a module, loaded or not."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if isinstance(file, str) else None
    spec = _spec_of(name)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _spec_of(name: str) -> ModuleSpec | None:
    """Where Python would find a module, without importing the packages around it."""
    parent = name.rpartition(".")[0]
    places: Sequence[str] | None = None
    if parent:
        places = getattr(sys.modules.get(parent), "__path__", None)
        if places is None:
            above = None if parent in sys.modules else _spec_of(parent)
            places = above.submodule_search_locations if above is not None else None
        if places is None:  # the parent is a module, not a package
            return None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if find is None else find(name, places)
        if spec is not None:
            return spec
    return None


def _label(name: str, path: Path) -> str:
    """What a module's file is called: the same wherever the code lies.

    >>> _label("models.net", Path("/home/me/models/net.py")), _label("models", Path("/home/me/models/__init__.py"))
    ('models/net.py', 'models/__init__.py')
    """
    if "." not in name and path.stem != "__init__":  # a script, or a file of which the module has another name
        return path.name
    folder = name.replace(".", "/")
    return f"{folder}/{path.name}" if path.stem == "__init__" else f"{folder}{path.suffix}"


def _package_of(name: str, path: Path) -> str:
    """The package that relative imports in a module start from."""
    if name == "__main__":
        spec = getattr(sys.modules.get(name), "__spec__", None)
        return spec.parent or "" if spec is not None else ""
    return name if path.stem == "__init__" else name.rpartition(".")[0]


def _imported(path: Path, package: str) -> set[str]:
    """The names of all modules that a file may import, and of the packages around them; some may not exist."""
    names = {name for node in _nodes(path) for name in _names(node, package)}
    return {name[: -len(rest)].rstrip(".") for name in names for rest in _tails(name)} | names


def _weights_named_in(path: Path) -> dict[str, Path]:
    """The texts in a file of code that name existing files of weights: text -> file."""
    texts = {node.value for node in _nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = [text for text in texts if text.lower().endswith(_WEIGHTS) and "\n" not in text and "\0" not in text]
    places = {text: [place for place in (Path(text), path.parent / text) if place.is_file()] for text in named}
    return {text: found[0] for text, found in places.items() if found}


@lru_cache(256)
def _parsed(text: bytes) -> ast.AST | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _nodes(path: Path) -> Iterator[ast.AST]:
    tree = _parsed(path.read_bytes()) if path.suffix == ".py" else None
    return iter(()) if tree is None else ast.walk(tree)


def _tails(name: str) -> Iterator[str]:
    """Ends of a dotted name that leave a package.

    >>> list(_tails("a.b.c"))
    ['b.c', 'c']
    """
    pieces = name.split(".")
    return (".".join(pieces[i:]) for i in range(1, len(pieces)))


def _names(node: ast.AST, package: str) -> Iterator[str]:
    """The modules that a node imports; of `from a import b` both `a` and `a.b`, of `__all__` what it lists."""
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=listed) | ast.Tuple(elts=listed)):
            names = [one.value for one in listed if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            yield from (f"{package}.{name}" for name in names if package)
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]):
            if called in ("import_module", "__import__"):
                yield name if not name.startswith(".") else f"{package}{name if package else name.lstrip('.')}"


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool | PurePath)


def _plain_text(value: object) -> str:
    return str(value) if isinstance(value, str | PurePath) else repr(value)
