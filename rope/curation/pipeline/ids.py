"""The ids and words of a pool as strings, of whatever type its columns are: the one place where they are cast."""

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_strings", "raw_ids", "trimmed", "without_views"]

_PLAIN = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)


def as_strings(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    r"""Any column as strings: text and whole numbers as they are, bytes as UTF-8 or else in hex, others as in Python.

    >>> as_strings(pa.array([b"a", b"\xff", None])).to_pylist(), as_strings(pa.array([True])).to_pylist()
    (['a', 'ff', None], ['True'])
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type) or any(is_one(column.type) for is_one in _PLAIN):
        return pc.cast(column, pa.string())
    return pa.array([None if value is None else _in_words(value) for value in column.to_pylist()], pa.string())


def _in_words(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    return str(value)


def without_views(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows whose columns have no views of strings or bytes, from which Arrow takes and filters nothing.

    >>> without_views(pa.record_batch({"a": pa.array(["x"], pa.string_view())})).schema.field("a").type
    DataType(string)
    """
    schema = pa.schema([field.with_type(_without_views(field.type)) for field in rows.schema])
    return rows if schema.equals(rows.schema) else rows.cast(schema)


def _without_views(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_views(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    return kind


def trimmed(column: pa.Array) -> pa.Array:
    """Texts without the spaces around them; null where nothing is left.

    >>> trimmed(pa.array([" a b ", " ", None])).to_pylist()
    ['a b', None, None]
    """
    words = pc.utf8_trim_whitespace(as_strings(column))
    return pc.if_else(pc.equal(words, ""), None, words)


def raw_ids(column: pa.Array) -> pa.Array:
    """The ids of raw rows as their rows have them in every stage; null where there are only spaces.

    >>> raw_ids(pa.array([7, None])).to_pylist(), raw_ids(pa.array([" a ", " "])).to_pylist()
    (['7', None], [' a ', None])
    """
    ids = as_strings(column)
    return pc.if_else(pc.is_valid(trimmed(ids)), ids, None)
