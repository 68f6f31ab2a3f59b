"""An operation that measures its own work."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from rope.curation.pipeline.operation import REJECT_SCHEMA, GlobalOperation, Outcome


@dataclass(frozen=True)
class Noted:
    pass


def note(paths, options):
    tables = [pq.read_table(path) for path in paths]
    for table in tables:
        kept = table.combine_chunks().to_batches()[0]
        yield Outcome(
            kept, pa.RecordBatch.from_pylist([], REJECT_SCHEMA), {"rows looked at": {"all": sum(map(len, tables))}}
        )


NOTED = GlobalOperation(version=1, options=Noted, apply=note)
