"""SQL text for DuckDB: values, and files that are read by their own path, whatever characters it has."""

import re
from collections.abc import Iterable
from os import PathLike

__all__ = ["csv_file", "literal", "parquet_files"]


def literal(value: "str | PathLike[str]") -> str:
    """Quote a text as an SQL string literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def parquet_files(paths: "Iterable[str | PathLike[str]]", options: str = "") -> str:
    """The rows of Parquet files, as a table function.

    DuckDB takes a path for a pattern, and makes a folder named `domain=5` a column that hides the one in the file;
    neither happens here.

    >>> parquet_files(["a[1].parquet"], "file_row_number = true")
    "read_parquet(['a[[]1].parquet'], hive_partitioning = false, file_row_number = true)"
    """
    listed = ", ".join(literal(_as_pattern(path)) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false{', ' if options else ''}{options})"


def csv_file(path: "str | PathLike[str]", options: str) -> str:
    """The rows of a text file with delimiters, as a table function; see `parquet_files`.

    >>> csv_file("a*.tsv", "header = true")
    "read_csv('a[*].tsv', hive_partitioning = false, header = true)"
    """
    return f"read_csv({literal(_as_pattern(path))}, hive_partitioning = false, {options})"


def _as_pattern(path: "str | PathLike[str]") -> str:
    """The pattern that only this path matches."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))
