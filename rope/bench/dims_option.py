"""The option `--dims` of commands that score: how many numbers of each vector, one or several, and a row for each."""

from pathlib import Path

from rope.bench.json_option import is_file
from rope.errors import UsageError

__all__ = ["file_of", "read_dims"]


def read_dims(text: str | None, json: Path | None) -> list[int | None]:
    """The numbers of dimensions that were asked for; None stands for all.

    >>> read_dims("256,512,full", None)
    [256, 512, None]

    Args:
        text: what `--dims` says; None where it was not given.
        json: what `--json` says, as stdout holds one result alone.

    Raises:
        UsageError: it is something else than positive numbers and `full`, each once; or several go to stdout.
    """
    words = ["full"] if text is None else [word.strip() for word in text.split(",")]
    if any(not (word == "full" or (word.isascii() and word.isdecimal() and int(word) > 0)) for word in words):
        raise UsageError(f"--dims {text!r}: expected positive numbers or full, separated by commas, as in 256,512,full")
    found = [None if word == "full" else int(word) for word in words]
    if len(set(found)) < len(found):
        raise UsageError(f"--dims {text!r}: each number once")
    if len(found) > 1 and json is not None and not is_file(json):
        raise UsageError("--json -: stdout holds one result, and --dims asks for several; give a file")
    return found


def file_of(path: Path | None, dims: int | None, rows: list[int | None]) -> Path | None:
    """The file of one of several rows: `result.json` becomes `result.256.json` and `result.full.json`.

    >>> file_of(Path("runs/result.json"), 256, [256, None])
    PosixPath('runs/result.256.json')
    >>> file_of(Path("runs/result.ranks.parquet"), None, [256, None])
    PosixPath('runs/result.full.ranks.parquet')
    """
    if path is None or len(rows) == 1 or not is_file(path):
        return path
    suffix = ".ranks.parquet" if path.name.endswith(".ranks.parquet") else path.suffix
    return path.with_name(f"{path.name.removesuffix(suffix)}.{dims or 'full'}{suffix}")
