"""A list of checksums as `sha256sum`, `sha1sum` and `md5sum` write it, and of thumbnails where bytes are not known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from rope.errors import UsageError
from rope.fetch.names import stored_name_sql
from rope.fetch.tables import keep_one
from rope.fetch.thumbnail import MARK
from rope.sources.lines import scan_lines

__all__ = ["load_checksums"]

_DIGEST: Final = f"[0-9a-fA-F]{{64}}|[0-9a-fA-F]{{40}}|[0-9a-fA-F]{{32}}|{MARK}[0-9a-f]{{32}}"
_LINE: Final = rf"^(?P<digest>{_DIGEST}) [ *](?P<name>[^\r]+)\r?$"
_SCHEMA: Final = pa.schema([("line", pa.int64()), ("digest", pa.string()), ("name", pa.string())])


def load_checksums(connection: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    """Make the table `checksums` (image, digest) of a list; empty without one.

    A line is a hash in hex, two blanks (or a blank and `*`), and a name as it is in the release. Instead of a hash, a
    line may have `thumbnail:` and 32 hex digits, see `rope.fetch.thumbnail`. Of several lines for a name, the first
    counts.

    Raises:
        UsageError: the file does not exist, or a line is something else.
    """
    if path is not None and not path.is_file():
        raise UsageError(f"{path}: no such file; expected a list of checksums")
    batches = _parsed(path) if path is not None else iter(())
    connection.register("parsed", pa.RecordBatchReader.from_batches(_SCHEMA, batches))
    connection.execute(f"CREATE OR REPLACE TABLE listed AS SELECT *, {stored_name_sql('name')} AS image FROM parsed")  # noqa: S608
    connection.unregister("parsed")
    (wrong,) = connection.execute("SELECT min(line) FROM listed WHERE digest IS NULL").fetchall()[0]
    if wrong is not None:
        raise UsageError(f"{path}:{wrong}: expected an MD5, SHA-1 or SHA-256 in hex, two blanks and a name")
    keep_one(connection, "listed", "checksums", "image, digest")


def _parsed(path: Path) -> Iterator[pa.RecordBatch]:
    """Lines with digest and name, both null where a line is something else; empty lines are left out."""
    for lines in scan_lines(path):
        lines = lines.filter(pc.fill_null(pc.not_equal(lines["text"], ""), True))
        found = pc.extract_regex(lines["text"], _LINE)
        parts = [pc.struct_field(found, name) for name in ("digest", "name")]
        yield pa.record_batch([lines["line"], *parts], schema=_SCHEMA)
