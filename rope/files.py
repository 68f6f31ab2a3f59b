"""Whole files or none: atomic writes, the hashes that vouch for them, and one door for what cannot be read."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from unicodedata import normalize

from rope.errors import FileError, RopeError, UsageError

if TYPE_CHECKING:
    from upath import UPath

__all__ = [
    "Address",
    "AnyPath",
    "atomic_path",
    "is_half_written",
    "kind_of",
    "kind_of_start",
    "on_disk",
    "parts_folder",
    "reading_file",
    "refuse_address",
    "sha256_of",
]

_BEGINNINGS: Final = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer, which stands for the file; run git lfs pull",
    b"<!doctype html": "an HTML page, as a failed download leaves it",
    b"<html": "an HTML page, as a failed download leaves it",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"\xfd7zXZ": "compressed with xz",
    b"PAR1": "Parquet",
    b"\x93NUMPY": "an .npy array",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\x80\x02": "a pickle, as torch.save writes it; no pickle is loaded",
    b"\x80\x04": "a pickle, as torch.save writes it; no pickle is loaded",
    b"PK\x03\x04": "a ZIP archive, as .npz files and PyTorch checkpoints are",
}

AnyPath: TypeAlias = "Path | UPath"
"""A file or folder on this machine, or at an address of fsspec."""

Address: TypeAlias = "str | os.PathLike[str] | UPath"
"""What callers may name a dataset directory by; see `rope.addresses.as_directory`."""


@contextmanager
def atomic_path(target: AnyPath) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it becomes `target` when the block ends without an error.

    A crash leaves the old `target`, or none. The parent folder is made when it does not exist. What goes to an address
    of fsspec is written on this machine and sent as a whole: object stores show an object when it is complete.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'

    Raises:
        UsageError: `target` is a folder, or an address that was taken for a path.
    """
    if not isinstance(target, Path):
        with tempfile.TemporaryDirectory(prefix="rope-upload-") as folder:
            yield Path(folder) / "part"
            target.fs.put_file(str(Path(folder) / "part"), target.path)
        return
    _refuse_what_is_no_file(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def is_half_written(path: Path, whole: str | None = None) -> bool:
    """Whether a name is one under which `atomic_path` writes, of the file `whole` or of any.

    >>> is_half_written(Path(".a.txt.4711.part")), is_half_written(Path(".a.txt.4711.part"), "b.txt")
    (True, False)
    """
    name = ".+" if whole is None else re.escape(whole)
    return re.fullmatch(rf"\.{name}\.\d+\.part", path.name) is not None


def parts_folder(target: Path) -> Path:
    """The folder beside a file for what a command has finished of it: `OUT.parts`.

    Raises:
        UsageError: `target` is a folder, or an address that was taken for a path.
    """
    _refuse_what_is_no_file(target)
    return target.with_name(f"{target.name}.parts")


def _refuse_what_is_no_file(target: Path) -> None:
    refuse_address(target)
    if target.is_dir():
        raise UsageError(f"{target}: is a folder; expected the name of a file to write")


def refuse_address(path: Path) -> None:
    """Refuse a path that was made of an address of fsspec: it would become a folder with the name `s3:`.

    >>> refuse_address(Path("s3://bucket/out"))
    Traceback (most recent call last):
    rope.errors.UsageError: s3://bucket/out: is an address; expected a path on this machine, as only the pool and the \
folder of work of a recipe, what curate publish writes, and datasets that are read, may be elsewhere

    Raises:
        UsageError: it was.
    """
    if path.parts and re.fullmatch(r"[a-z][a-z0-9+.-]+:", path.parts[0]):
        raise UsageError(
            f"{path.parts[0]}//{'/'.join(path.parts[1:])}: is an address; expected a path on this machine, as only the "
            "pool and the folder of work of a recipe, what curate publish writes, and datasets that are read, may be "
            "elsewhere"
        )


def sha256_of(path: AnyPath) -> str:
    """SHA-256 of a file's bytes, in hex, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def kind_of(path: Path) -> str:
    """What a file seems to be by its first bytes; empty where they tell nothing.

    >>> kind_of(Path(__file__))
    ''
    """
    try:
        with path.open("rb") as file:
            return kind_of_start(file.read(512))
    except OSError:
        return ""


def kind_of_start(start: bytes) -> str:
    """What a file seems to be that begins with some bytes; empty where they tell nothing.

    >>> kind_of_start(b"%PDF-1.7")
    'a PDF document'
    """
    if not start:
        return "an empty file"
    shown = start.lstrip().lower() if start.lstrip()[:1] == b"<" else start
    return next((kind for beginning, kind in _BEGINNINGS.items() if shown.startswith(beginning)), "")


def check_file(path: Path, expected: str) -> None:
    """Refuse a path that is not a file.

    Args:
        path: what was given as a file.
        expected: what it should be: `a recipe in TOML`.

    >>> check_file(Path(__file__).parent / "nowhere.toml", "a recipe in TOML")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rope.errors.UsageError: ...nowhere.toml: no such file; expected a recipe in TOML

    Raises:
        UsageError: it does not exist, or is a folder.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; expected {expected}")
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected {expected}")


def on_disk(root: Path, name: str) -> Path:
    """The file that a name means: the one that is called so, or else as the other normal form of Unicode spells it.

    macOS writes é as e and an accent, most others as one character. Where both forms are there, neither is meant.

    Args:
        root: a folder.
        name: relative to it; may have folders itself.

    >>> on_disk(Path("images"), "a.jpg").as_posix()
    'images/a.jpg'
    """
    path = root / name
    if name.isascii() or path.exists():
        return path
    others = {root / normalize(form, name) for form in ("NFC", "NFD")} - {path}
    there = [other for other in others if other.exists()]
    return there[0] if len(there) == 1 else path


@contextmanager
def reading_file(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises on a file into a `FileError` that names it.

    Libraries raise what they like on damaged input (struct.error, KeyError, RecursionError, MemoryError ...), so that
    only this program's own errors, which have their sentence already, and its failed assertions pass.

    Args:
        path: the file.
        expected: what it should be: `Parquet`.

    >>> with reading_file(Path("a.json"), "JSON"):
    ...     raise RecursionError("too deep")
    Traceback (most recent call last):
    rope.errors.FileError: a.json: not readable as JSON: too deep

    Raises:
        FileError: the block raised something else than a `RopeError`.
    """
    try:
        yield
    except (RopeError, AssertionError):
        raise
    except Exception as error:
        if path.is_dir():
            raise FileError(f"{path}: is a folder; expected {expected}") from error
        kind = kind_of(path)
        if kind and kind not in expected and expected.split()[0] not in kind:  # what a parser makes of it says nothing
            raise FileError(f"{path}: not readable as {expected}; it is {kind}") from error
        told = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise FileError(f"{path}: not readable as {expected}: {told[:300]}") from error
