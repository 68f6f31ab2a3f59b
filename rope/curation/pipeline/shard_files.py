"""The files of a shard: kept rows, rejects, and the manifest that vouches for both."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.pipeline.fault_injection import Fault, strike_after, strike_writing
from rope.curation.pipeline.manifest import Count, ShardManifest, ShardPart, StoredFile, write_manifest
from rope.curation.pipeline.operation import NOT_SAMPLED, REJECT_SCHEMA, Outcome
from rope.curation.pipeline.shard_job import ShardJob
from rope.errors import DatasetError, UsageError
from rope.files import AnyPath, atomic_path, sha256_of

__all__ = ["STORED_REJECT_SCHEMA", "commit_shard", "refuse_repeated", "write_rows"]

STORED_REJECT_SCHEMA: Final = pa.schema([*REJECT_SCHEMA, pa.field("fate", pa.string())])
"""`REJECT_SCHEMA` and the fate: rejected, quarantined or not sampled."""

_MAX_DETAIL: Final = 300


def commit_shard(
    job: ShardJob,
    outcomes: Iterable[Outcome],
    quarantined: Sequence[pa.RecordBatch],
    fault: Fault | None,
) -> None:
    """Write the files of a shard, check that no row was lost, and vouch for them.

    Args:
        job: the shard.
        outcomes: of all its rows; each becomes two files.
        quarantined: rejects of rows that the operation could not stand; `REJECT_SCHEMA`.
        fault: to strike, for tests.

    Raises:
        DatasetError: other rows came out than went in.
        UsageError: two columns have the same name.
    """
    parts, counts = [], Counter[tuple[str, str, str | None]]()
    notes: dict[str, Any] = {}
    for i, outcome in enumerate(outcomes):
        rejects = _stored_rejects(outcome.rejects, quarantined)
        stem = job.name if i == 0 else f"{job.name}.{i:05d}"
        kept = pa.table(outcome.kept)
        refuse_repeated(job.stage, kept.schema)
        parts.append(
            ShardPart(
                _write(job.folder / f"{stem}.kept.parquet", kept, fault),
                _write(job.folder / f"{stem}.rejects.parquet", rejects, None),
            )
        )
        counts += _counts(kept, rejects)
        notes |= outcome.notes
    if counts.total() != job.n_rows:
        raise DatasetError(f"{job.stage}/{job.name}: {job.n_rows} rows went in, and {counts.total()} came out")
    ordered = sorted(counts.items(), key=lambda item: [word or "" for word in item[0]])
    sums = tuple(Count(*key, n) for key, n in ordered)  # type: ignore[arg-type]
    manifest = ShardManifest(job.key, job.n_rows, tuple(parts), sums, notes)
    write_manifest(job.manifest_path, manifest)
    if parts:
        strike_after(fault, job.folder / parts[0].kept.name)


def _counts(kept: pa.Table, rejects: pa.Table) -> Counter[tuple[str, str, str | None]]:
    """How many rows of a domain have a fate, and for which reason; None for kept rows."""
    found = Counter[tuple[str, str, str | None]]()
    for row in kept["domain"].value_counts().to_pylist():
        found[row["values"] or "", "kept", None] += row["counts"]
    if not rejects.num_rows:
        return found
    for row in rejects.group_by(["domain", "fate", "reason"]).aggregate([([], "count_all")]).to_pylist():
        found[row["domain"] or "", row["fate"], row["reason"]] += row["count_all"]
    return found


def _stored_rejects(rejects: pa.Table | pa.RecordBatch, quarantined: Sequence[pa.RecordBatch]) -> pa.Table:
    plain = pa.table(rejects).cast(REJECT_SCHEMA)
    fates = pc.if_else(pc.equal(plain["reason"], NOT_SAMPLED), NOT_SAMPLED, "rejected")
    tables = [plain.append_column("fate", fates)]
    for rows in quarantined:
        tables.append(pa.table(rows).append_column("fate", pa.array(["quarantined"] * rows.num_rows, pa.string())))
    rejects = pa.concat_tables([table.cast(STORED_REJECT_SCHEMA) for table in tables]).sort_by("id")
    if rejects["detail"].null_count == rejects.num_rows:
        return rejects
    # Libraries put addresses of objects into their messages, and these differ between two runs.
    plain_details = pc.replace_substring_regex(rejects["detail"], r"0x[0-9a-fA-F]{6,}", "0x…")
    place = rejects.schema.get_field_index("detail")
    return rejects.set_column(place, "detail", pc.utf8_slice_codeunits(plain_details, 0, _MAX_DETAIL))


def write_rows(table: pa.Table, target: "AnyPath | BinaryIO") -> None:
    """Write the rows of a shard, without dictionaries: most values differ, and zstd shortens the others as well."""
    pq.write_table(table.combine_chunks(), target, compression="zstd", use_dictionary=False)


def _write(path: AnyPath, table: pa.Table, fault: Fault | None) -> StoredFile:
    with atomic_path(path) as temporary:
        write_rows(table, temporary)
        strike_writing(fault, temporary)
        return StoredFile(path.name, table.num_rows, temporary.stat().st_size, sha256_of(temporary))


def refuse_repeated(stage: str, schema: pa.Schema) -> None:
    """Raise a `UsageError` where two columns of a stage have one name, which nobody could tell apart."""
    if repeated := [name for name in schema.names if schema.names.count(name) > 1]:
        raise UsageError(f"stage {stage!r}: its rows have two columns {repeated[0]!r}; rename what the pool keeps")
