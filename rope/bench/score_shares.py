"""Scores of one share of the queries, in files: for galleries that one machine would take too long for.

Each machine scores a run of the queries of every domain against whole galleries and writes one file; `read_shares` puts
them together. The numbers of a query do not depend on other queries, so what comes out is what one machine computes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from rope.bench.io.provenance import Provenance
from rope.bench.metrics import QueryScores, joined
from rope.bench.one_shot import Draws
from rope.bench.running.share import RunShare
from rope.bench.score import PROTOCOL_VERSION
from rope.errors import UsageError
from rope.files import atomic_path, reading_file
from rope.workdir import differences

__all__ = ["note_of", "read_shares", "write_share"]

_FILE: Final = re.compile(r"share-(\d+)-of-(\d+)\.npz", re.ASCII)
_NOTE: Final = "belongs_to"


def note_of(provenance: Provenance, draws: Draws) -> dict[str, Any]:
    """Everything that the scores of a share depend on, except for the share itself."""
    return {
        "protocol": PROTOCOL_VERSION,
        "dataset": {"fingerprint": provenance.fingerprint, "split": provenance.split},
        "embeddings": {domain: note.to_json() for domain, note in provenance.embeddings.items()},
        "transform": None if provenance.transform is None else dict(provenance.transform),
        "seed": draws.seed,
        "trials": draws.trials,
        "shots": draws.shots,
    }


def write_share(folder: Path, share: RunShare, scores: Mapping[str, QueryScores], note: Mapping[str, Any]) -> Path:
    """Write what one share scored, and return the file; one that is there is replaced.

    Args:
        folder: where the files of all shares go.
        share: which one it is.
        scores: name of a pair -> the scores of the share's queries.
        note: see `note_of`.
    """
    path = folder / _name_of(share)
    arrays = {
        f"{pair}/{field.name}": np.asarray(value)
        for pair, queries in scores.items()
        for field in fields(QueryScores)
        if (value := getattr(queries, field.name)) is not None
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{_NOTE: np.array(json.dumps(_with_share(note, share)))})
    return path


def read_shares(folder: Path, note: Mapping[str, Any]) -> dict[str, QueryScores]:
    """The scores of all queries of each pair, from the files of all shares.

    Args:
        folder: where they are.
        note: what they must belong to, see `note_of`.

    Raises:
        FileError: a file is damaged.
        UsageError: there is no file, or one is missing, or belongs to something else or to another share, or files are
            of different numbers of shares.
    """
    files = {path: (int(m[1]), int(m[2])) for path in sorted(folder.glob("*.npz")) if (m := _FILE.fullmatch(path.name))}
    worlds = sorted({world for _, world in files.values()})
    if not worlds:
        raise UsageError(f"{folder}: no file share-0-of-N.npz, as --share 0/N --shares {folder} writes it")
    if len(worlds) > 1:
        raise UsageError(
            f"{folder}: has shares of {worlds[0]} and of {worlds[1]}; remove those of one, or give another folder"
        )
    if missing := sorted(set(range(worlds[0])) - {rank for rank, _ in files.values()}):
        raise UsageError(f"{folder}: share {missing[0]}/{worlds[0]} is missing; run the command with it first")
    for path, (rank, world) in files.items():
        if rank >= world or path.name != _name_of(RunShare(rank, world)):
            raise UsageError(f"{path}: is none of the {world} shares; remove it")
    parts = [_read(path, _with_share(note, RunShare(*share))) for path, share in files.items()]
    return {pair: joined([part[pair] for part in parts]) for pair in parts[0]}


def _name_of(share: RunShare) -> str:
    return f"share-{share.rank}-of-{share.world}.npz"


def _with_share(note: Mapping[str, Any], share: RunShare) -> dict[str, Any]:
    """The note of one file: a copy under another share's name would count its queries twice, and others never."""
    return {"share": f"{share.rank}/{share.world}", **note}


def _read(path: Path, note: Mapping[str, Any]) -> dict[str, QueryScores]:
    with reading_file(path, "scores of a share"), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        there = json.loads(str(arrays[_NOTE]))
        if found := differences(there, json.loads(json.dumps(note))):
            raise UsageError(f"{path}: was made from something else: {found}; remove it and score that share again")
        pairs: dict[str, dict[str, Any]] = {}
        for name in arrays.files:
            if name != _NOTE:
                pair, field = name.split("/")
                pairs.setdefault(pair, {})[field] = arrays[name]
        return {pair: QueryScores(**{**of, "n_rechecked": int(of["n_rechecked"])}) for pair, of in pairs.items()}
