"""The one door through which weights come: a file is weights or refused in a sentence, a model has all of its own.

No code of a file is run, and no weight that a checkpoint lacks is drawn at random.
"""

import json
import logging
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from rich.console import Console
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from rope.encoders.running import without_bars
from rope.errors import RopeError, UsageError

__all__ = [
    "Loading",
    "check_file",
    "check_weights",
    "fill",
    "loading",
    "named_weights",
    "note",
    "read_content",
    "read_state",
    "refuse_missing",
]

State = dict[str, torch.Tensor]

_HARMLESS: Final = re.compile(r"(.*\.)?(position_ids|logit_scale|logit_bias)")
"""Constants that old files hold or lack, and what scales similarities but enters no vector."""

_WEIGHTS: Final = frozenset({".bin", ".ckpt", ".pt", ".pth", ".safetensors"})
_SHOWN: Final = 3

_STATES: Final = ("state_dict", "model_state_dict", "model")
"""Where training code puts the weights among other things."""


def read_content(path: Path, expected: str) -> object:
    """What a file of weights holds, on the CPU: that of `torch.save`, or the tensors of a safetensors file.

    Args:
        path: the file.
        expected: what should be there, as `a checkpoint of Chinese-CLIP`, for error texts.

    Raises:
        UsageError: the file does not exist, has no weights, is damaged, or cannot be read without running code.
    """
    check_file(path, expected)
    if _is_safetensors(path):
        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a file that is not a pickle, whatever its bytes happen to mean
        raise UsageError(f"{path}: {_pickle_problem(error)}; expected {expected}") from error


def check_file(path: Path, expected: str) -> None:
    """Refuse what its first bytes show to be something other than weights, or cut off.

    Raises:
        UsageError: see `read_content`.
    """
    if problem := _problem(path):
        raise UsageError(f"{path}: {problem}; expected {expected}")


def read_state(path: Path, expected: str) -> State:
    """The tensors of a checkpoint by name, whether they are all of it or its entry `state_dict`, without `module.`.

    Raises:
        UsageError: see `read_content`; or the file holds no tensors by name.
    """
    content = read_content(path, expected)
    if isinstance(content, Mapping):
        content = next((content[key] for key in _STATES if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path}: holds no tensors by name; expected {expected}")
    if others := [key for key, value in content.items() if not isinstance(value, torch.Tensor)]:
        raise UsageError(f"{path}: its entry {others[0]!r} is not a tensor; expected {expected}")
    for prefix in ("module.", "model."):
        if all(str(key).startswith(prefix) for key in content):
            content = {str(key).removeprefix(prefix): value for key, value in content.items()}
    return dict(content)


@contextmanager
def named_weights(where: object) -> Iterator[None]:
    """Name a weight that is looked up and not there, or has not so many dimensions as it should.

    Raises:
        UsageError: a `KeyError` was raised inside, or a shape could not be taken apart.
    """
    try:
        yield
    except KeyError as error:
        raise UsageError(f"{where}: the weight {error.args[0]!r} is missing") from error
    except (IndexError, ValueError) as error:
        raise UsageError(f"{where}: a weight has a shape of another kind than it should ({error})") from error


def check_weights(
    weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], where: object, *, exact: bool = True
) -> None:
    """Raise unless every expected weight is there in its shape and, where `exact`, no other.

    >>> check_weights({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, "model.safetensors")
    Traceback (most recent call last):
    rope.errors.UsageError: model.safetensors: the weights do not fit the model: a is [2], expected [3]

    Raises:
        UsageError: they differ; names the first few differences and their number.
    """
    faults = [f"{name} is missing" for name in expected if name not in weights]
    if exact:
        faults += [f"{name} is not part of the model" for name in weights if name not in expected]
    faults += [
        f"{name} is {list(weights[name].shape)}, expected {list(weight.shape)}"
        for name, weight in expected.items()
        if name in weights and weights[name].shape != weight.shape
    ]
    if faults:
        raise UsageError(f"{where}: the weights do not fit the model: {_some(faults, '; ')}")


def fill(model: nn.Module, weights: Mapping[str, torch.Tensor], where: object) -> None:
    """Give a model all of its weights, and say on stderr which of those given it has no place for.

    Raises:
        UsageError: one is missing, or has another shape.
    """
    own = model.state_dict()
    check_weights(weights, own, where, exact=False)
    _say_unused(where, [name for name in weights if name not in own])
    model.load_state_dict({name: weights[name] for name in own})


@dataclass
class Loading:
    """What became of the weights of a model that another library loads.

    Attributes:
        lacking: those that the checkpoint lacks and may lack.
    """

    lacking: tuple[str, ...] = ()


@contextmanager
def loading(source: str, library: str, *, may_lack: str = "") -> Iterator[Loading]:
    """Load models of transformers, by themselves or inside of another library, and see that they have all weights.

    Which weights of the checkpoint are not used is said on stderr.

    Args:
        source: the model, for error texts; where it is a folder, its files are looked at when loading fails.
        library: what loads it, for error texts.
        may_lack: regular expression of the names that a checkpoint may lack, since nothing of them enters a vector.

    Yields:
        What is known when the block is left.

    Raises:
        UsageError: the library cannot load it, or weights are missing or have other shapes.
    """
    found, records = Loading(), list[tuple[nn.Module, Mapping[str, Any]]]()
    try:
        with without_bars(), _recorded(records):
            yield found
    except RopeError:
        raise
    except Exception as error:  # whatever the library raises of a file that is not what it should be
        problem = _folder_problem(Path(source)) or _told(error)
        raise UsageError(f"{source}: {library} cannot load it: {problem}") from error
    reports = [report for _, report in records]
    missing = sorted({name for report in reports for name in report["missing_keys"] if not _HARMLESS.fullmatch(name)})
    found.lacking = tuple(name for name in missing if re.fullmatch(may_lack, name))
    for model, report in records:
        for name in report["missing_keys"].intersection(found.lacking):
            model.get_parameter(name).data.zero_()  # so that the model is the same each time
    refuse_missing(source, [name for name in missing if name not in found.lacking])
    if wrong := [f"{n} is {list(a)}, expected {list(b)}" for r in reports for n, a, b in sorted(r["mismatched_keys"])]:
        raise UsageError(f"{source}: the weights do not fit its configuration: {_some(wrong, '; ')}")
    _say_unused(source, sorted({name for report in reports for name in report["unexpected_keys"]}))


def refuse_missing(source: str, names: Sequence[str]) -> None:
    """Refuse a model if its checkpoint lacks weights.

    Raises:
        UsageError: there are such names.
    """
    if names:
        raise UsageError(
            f"{source}: lacks {_count(names)} of the model: {_some(names)}; drawn at random they would move every "
            "vector, so choose a checkpoint that has them"
        )


@contextmanager
def _recorded(records: list[tuple[nn.Module, Mapping[str, Any]]]) -> Iterator[None]:
    """Keep every model that transformers loads, for whomever, and its report, which is not drawn on stderr.

    Other libraries call `from_pretrained` inside and drop the report, so it is caught there.
    """
    from transformers import PreTrainedModel

    original: Any = PreTrainedModel.__dict__["from_pretrained"]

    def recording(cls: type, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> object:  # noqa: ANN401
        kwargs["ignore_mismatched_sizes"] = True  # they are refused afterwards, by name
        model, report = original.__func__(cls, *args, output_loading_info=True, **kwargs)
        records.append((model, report))
        return (model, report) if output_loading_info else model

    logger = logging.getLogger("transformers.modeling_utils")
    PreTrainedModel.from_pretrained = classmethod(recording)  # type: ignore[assignment, arg-type]
    logger.addFilter(_is_no_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_report)
        PreTrainedModel.from_pretrained = original  # type: ignore[method-assign]


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


def note(text: str) -> None:
    """Say something on stderr that a reader of the numbers should know."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"note: {text}")


def _say_unused(where: object, names: Collection[str]) -> None:
    if unused := [name for name in names if not _HARMLESS.fullmatch(name)]:
        note(f"{where}: {_count(unused)} of the file {'is' if len(unused) == 1 else 'are'} not used: {_some(unused)}")


def _count(names: Collection[str]) -> str:
    """How many weights, in words.

    >>> _count(["a"]), _count(["a", "b"])
    ('1 weight', '2 weights')
    """
    return f"{len(names)} weight{'' if len(names) == 1 else 's'}"


def _some(texts: Sequence[str], comma: str = ", ") -> str:
    """The first few, and how many more there are.

    >>> _some(list("abcde"))
    'a, b, c and 2 more'
    """
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return f"{comma.join(texts[:_SHOWN])}{more}"


def _problem(path: Path) -> str | None:
    """Why a file cannot be one of weights, by what it begins with; None where it may be."""
    if path.is_dir():
        return "is a folder, not a file of weights"
    if not path.is_file():
        return "no such file"
    if problem := _placeholder_problem(path):
        return problem
    head = _head(path)
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights; the download failed, so fetch it again"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z", b"Rar!", b"\x28\xb5\x2f\xfd")):
        return "is a compressed archive; unpack it first"
    if path.suffix == ".safetensors" or _is_safetensors(path):
        return _safetensors_problem(path)
    return _zip_problem(path) if head.startswith(b"PK") else None


def _placeholder_problem(path: Path) -> str | None:
    """Whether a file, of weights or not, is empty or a pointer of Git LFS."""
    head = _head(path)
    if not head:
        return "is empty; fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as they do: the length of a header in 8 bytes, and JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def _safetensors_problem(path: Path) -> str | None:
    try:
        with safe_open(path, framework="pt"):  # reads the header, and compares its offsets with the file's size
            return None
    except (SafetensorError, OSError) as error:
        return f"cannot be read as safetensors ({error}); it is cut off or something else, so fetch it again"


def _zip_problem(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "is cut off or damaged; fetch it again"
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return "is a TorchScript archive, which holds a program; save its `state_dict()` with torch.save"
    if not any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return f"is a zip archive of {names[0] if names else 'nothing'} and not of torch.save"
    return None


def _pickle_problem(error: Exception) -> str:
    text = str(error)
    if found := re.search(
        r"GLOBAL ([\w.]+)|(?:function|class) <?([\w.' -]+)", text.partition("WeightsUnpickler")[2] or text
    ):
        name = next(group for group in found.groups() if group)
        return f"cannot be read without running code of it ({name}); save its tensors alone, by name"
    return f"cannot be read as weights ({type(error).__name__}); it is cut off or something else"


def _told(error: Exception) -> str:
    """What an error of another library says, as one line."""
    if isinstance(error, UnpicklingError):
        return _pickle_problem(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no more is known"]
    text = " ".join(lines)[:300] if lines[0].endswith(":") else lines[0]
    return text if isinstance(error, OSError | RuntimeError | ValueError) else f"{type(error).__name__}: {text}"


def _folder_problem(folder: Path) -> str | None:
    """Which file of a model's folder is not what it should be, as far as its first bytes and an index tell."""
    if not folder.is_dir():
        return None
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        problem = _problem(path) if path.suffix in _WEIGHTS else _placeholder_problem(path)
        if problem:
            return f"{path.relative_to(folder)} {problem}"
        if path.name.endswith(".index.json") and (problem := _index_problem(path)):
            return problem
    return None


def _index_problem(index: Path) -> str | None:
    try:
        shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{index.name} is damaged; fetch it again"
    missing = [name for name in shards if not (index.parent / name).is_file()]
    return f"{missing[0]} is missing, which {index.name} names; fetch it" if missing else None
