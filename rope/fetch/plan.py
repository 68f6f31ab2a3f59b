"""What a release lists, and what of it is still to be fetched.

The list of images is made once and kept in a database, `.fetch/plan.duckdb`. What is there already is not written down
anywhere but looked up when a fetch begins: the images that are stored and those in the ledger are all that is known, so
whatever moment a fetch was killed at, they are right. Lists stay in DuckDB, which goes to disk, and are read in blocks.
"""

# ruff: noqa: S608 -- SQL is put together from splits and domains, which are closed sets, and names of our own tables

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from rope.errors import UsageError
from rope.fetch.checksums import load_checksums
from rope.fetch.ledger import load_ledger
from rope.fetch.names import LEDGER_NAME, STATE_NAME, stored_name_sql
from rope.fetch.outcome import FetchJob
from rope.fetch.store import Layout, load_stored
from rope.fetch.tables import connect, keep_one
from rope.files import atomic_path
from rope.sources.frame_subsampling import subsample_frames
from rope.sources.source import ReleaseSource
from rope.sources.unusable import refuse_unusable
from rope.sql import literal

__all__ = [
    "Status",
    "count_todo",
    "has_videos",
    "iter_jobs",
    "make_plan",
    "name_without_url",
    "open_todo",
    "refuse_company",
    "status_of",
]

_VERSION: Final = 2
_JOBS_A_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Status:
    """How many files are fetched, open and given up.

    Attributes:
        n_wanted: images of the plan, each counted once.
        n_there: of these, stored.
        lost: reason, with the status of the answer where that is the reason -> images given up.
        has_videos: whether some of the images are in truth video or sound files.
    """

    n_wanted: int
    n_there: int
    lost: dict[str, int]
    has_videos: bool = False

    @property
    def n_missing(self) -> int:
        """Images neither stored nor given up."""
        return self.n_wanted - self.n_there - sum(self.lost.values())


def make_plan(
    source: ReleaseSource, folder: Path, n_frames: int | None, memory_bytes: int, advance: Callable[[int], None]
) -> None:
    """Write the list of images of a release, unless it is there already.

    Args:
        source: the release.
        folder: where the images go.
        n_frames: frames of each clip, chosen by `rope.media.choose_frames` among those listed; None for all.
        memory_bytes: limit of the database.
        advance: called with the number of bytes read.
    """
    state, key = folder / STATE_NAME, _key(source, n_frames)
    state.mkdir(parents=True, exist_ok=True)
    if _stored_key(state) == key:
        return
    for stale in (state / "plan.json", state / "plan.duckdb", *state.glob("staged.duckdb*")):
        stale.unlink(missing_ok=True)
    with atomic_path(state / "plan.duckdb") as target, connect(state / "staged.duckdb", memory_bytes) as connection:
        source.stage(connection, advance)
        refuse_unusable(connection, source)
        connection.execute(f"ATTACH {literal(target)} AS plan")
        _write_wanted(connection, source, n_frames)
        connection.execute("DETACH plan")
    for staged in state.glob("staged.duckdb*"):
        staged.unlink()
    with atomic_path(state / "plan.json") as temporary:
        temporary.write_text(json.dumps(key, indent=1, sort_keys=True), "utf-8")


def _key(source: ReleaseSource, n_frames: int | None) -> dict[str, Any]:
    """What a plan is made from; files are compared by size and time."""
    stats = {name: (source.folder / name).stat() for name in source.files}
    files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    key = {"version": _VERSION, "kind": source.kind, "files": files, "frames": n_frames}
    if not source.files:
        key["listings"] = dict(source.listings)
    return key if source.encoding is None else {**key, "encoding": source.encoding}


def _stored_key(state: Path) -> dict[str, Any]:
    path = state / "plan.json"
    key: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return key


def _write_wanted(connection: duckdb.DuckDBPyConnection, source: ReleaseSource, n_frames: int | None) -> None:
    """Make the table `plan.wanted` (address, image, refused, kind), in the order in which a build reads.

    Names that the reader of the release refuses are in it too, so that they come to the ledger.
    """
    tables = [f"{split}_{domain}" for split in source.splits for domain in source.domains]
    connection.execute("CREATE TABLE listed (address VARCHAR, image VARCHAR, refused VARCHAR, kind VARCHAR)")
    connection.execute("""
        INSERT INTO listed SELECT subject, subject, concat(file, ':', line), 'image'
        FROM faults WHERE kind = 'bad_image_name' ORDER BY file, line""")
    if n_frames is not None:
        subsample_frames(connection, tables, n_frames)
    for table in tables:
        connection.execute(
            f"INSERT INTO listed SELECT image, {stored_name_sql('image')}, NULL, 'image' FROM frames_{table}"
        )
        there = {name for name, *_ in connection.execute(f"DESCRIBE samples_{table}").fetchall()}
        for kind in (kind for kind in ("video", "audio") if kind in there):
            connection.execute(
                f"INSERT INTO listed SELECT {kind}, {stored_name_sql(kind)}, NULL, '{kind}' "
                f"FROM samples_{table} WHERE {kind} IS NOT NULL ORDER BY rowid"
            )
    keep_one(connection, "listed", "plan.wanted", "address, image, refused, kind")


@contextmanager
def open_todo(
    folder: Path, layout: Layout, *, checksums: Path | None, retry_lost: bool, memory_bytes: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Find out what is to do, and keep it in a database that is open while the block runs.

    The database is locked by the process, so that no other one fetches into the same folder.

    Args:
        folder: where the images go, with a plan.
        layout: of the images.
        checksums: see `rope.fetch.checksums`.
        retry_lost: whether images of the ledger are to be fetched too.
        memory_bytes: limit of the database.

    Raises:
        UsageError: another process fetches into the same folder, or a list cannot be read.
    """
    database = folder / STATE_NAME / "todo.duckdb"
    refuse_company(folder)
    for stale in database.parent.glob("todo.duckdb*"):
        stale.unlink()
    with connect(database, memory_bytes) as connection:
        load_stored(connection, folder, layout)
        load_ledger(connection, folder / LEDGER_NAME)
        load_checksums(connection, checksums)
        with _plan(connection, folder):
            connection.execute(f"""
                CREATE TABLE todo AS
                SELECT address, image, refused, digest, kind
                FROM (SELECT *, rowid AS place FROM plan.wanted) ANTI JOIN stored USING (image)
                    {"" if retry_lost else "ANTI JOIN lost USING (image)"} LEFT JOIN checksums USING (image)
                ORDER BY place""")
            connection.execute("CREATE TABLE wanted AS SELECT count(*) AS n FROM plan.wanted")
        for table in ("stored", "lost", "checksums"):
            connection.execute(f"DROP TABLE {table}")
        yield connection
    database.unlink()


def refuse_company(folder: Path) -> None:
    """Look whether another process fetches into a folder: it holds the lock of a database.

    Raises:
        UsageError: one does.
    """
    for database in (folder / STATE_NAME / "staged.duckdb", folder / STATE_NAME / "todo.duckdb"):
        try:
            if database.exists():
                duckdb.connect(str(database)).close()
        except duckdb.Error as error:
            if "lock" in str(error):
                raise UsageError(
                    f"{folder}: another process is fetching into this folder; wait for it, or choose another"
                ) from error


def count_todo(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """How many images there are to fetch, and how many the plan has."""
    (counts,) = connection.execute("SELECT (SELECT count(*) FROM todo), (SELECT n FROM wanted)").fetchall()
    return int(counts[0]), int(counts[1])


def name_without_url(connection: duckdb.DuckDBPyConnection) -> str | None:
    """A name that is to do and no URL, for which a prefix is needed; None if there is none."""
    rows = connection.execute(
        "SELECT address FROM todo WHERE refused IS NULL AND NOT regexp_matches(address, '^(?i)https?://') LIMIT 1"
    ).fetchall()
    return rows[0][0] if rows else None


def has_videos(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether video or sound files are to do."""
    return bool(connection.execute("SELECT 1 FROM todo WHERE kind <> 'image' AND refused IS NULL LIMIT 1").fetchall())


def iter_jobs(connection: duckdb.DuckDBPyConnection) -> Iterator[FetchJob]:
    """The images to fetch, in order, a block of the table at a time."""
    start = 0
    while rows := connection.execute(
        "SELECT address, image, refused, digest, kind FROM todo WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
        [start, start + _JOBS_A_BLOCK],
    ).fetchall():
        yield from (FetchJob(*row) for row in rows)
        start += _JOBS_A_BLOCK


def status_of(source: ReleaseSource, folder: Path, layout: Layout, memory_bytes: int) -> Status:
    """Compare the plan of a folder with what is there; may be asked while a fetch is running.

    Raises:
        UsageError: nothing was planned here, or another release, or the release has changed.
    """
    stored = _stored_key(folder / STATE_NAME)
    if stored != _key(source, stored.get("frames")):
        what = "another release, or an older state of this one, was" if stored else "nothing was"
        raise UsageError(f"{folder}: {what} fetched here; run rope fetch {source.folder} --out {folder} --prefix URL")
    with connect(None, memory_bytes) as connection, _plan(connection, folder):
        load_stored(connection, folder, layout)
        load_ledger(connection, folder / LEDGER_NAME)
        (n_wanted, n_there) = connection.execute(
            """SELECT (SELECT count(*) FROM plan.wanted),
                (SELECT count(*) FROM plan.wanted SEMI JOIN stored USING (image))"""
        ).fetchall()[0]
        with_videos = bool(connection.execute("SELECT 1 FROM plan.wanted WHERE kind <> 'image' LIMIT 1").fetchall())
        rows = connection.execute(
            """SELECT reason, status, count(*) FROM lost SEMI JOIN plan.wanted USING (image)
            ANTI JOIN stored USING (image) GROUP BY ALL"""
        ).fetchall()
    lost: Counter[str] = Counter()
    for reason, status, count in rows:
        lost[f"{reason} {status}" if reason == "http_status" else reason] += count
    return Status(n_wanted, n_there, dict(sorted(lost.items())), with_videos)


@contextmanager
def _plan(connection: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[None]:
    connection.execute(f"ATTACH {literal(folder / STATE_NAME / 'plan.duckdb')} AS plan (READ_ONLY)")
    try:
        yield
    finally:
        connection.execute("DETACH plan")
