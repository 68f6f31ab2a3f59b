"""M-BEIR (Wei et al., UniIR, ECCV 2024): queries of text, images or both, and pools of candidates of all kinds.

`query/test/*.jsonl` has a query a line: `qid`, `query_txt`, `query_img_path`, `pos_cand_list` and `neg_cand_list`,
whose items are ids or objects with a `did`. `cand_pool/local/*.jsonl` has a candidate a line: `did`, `txt`, `img_path`.
Images lie where the paths say, relative to the folder. Where `qrels/test/*.txt` grades an answer (`qid 0 did grade
task`), that is its grade; without it, it has 1. Layout: the card of the dataset TIGER-Lab/M-BEIR.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from rope.domain import DomainName, Frame
from rope.errors import ReleaseError, UsageError
from rope.query import Positive, SampleKey, SearchQuery
from rope.sources.candidates import Candidate, candidate_source, domain_of_candidate
from rope.sources.faults import ReleaseFault
from rope.sources.source import ReleaseSource

__all__ = ["find_release", "looks_like"]

_QUERIES: Final = "query/test"
_POOLS: Final = "cand_pool/local"
_GRADES: Final = "qrels/test"


def looks_like(folder: Path) -> bool:
    """Whether a folder has the queries and the pools of M-BEIR."""
    return bool(_files(folder, _QUERIES, "jsonl")) and bool(_files(folder, _POOLS, "jsonl"))


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Find the queries and pools of a folder; the whole benchmark, or those files of it that are wanted.

    Args:
        folder: with the folders `query` and `cand_pool`.
        encoding: None; the files are UTF-8.

    Raises:
        UsageError: the folder does not exist, or another encoding is asked for.
        ReleaseError: it has no queries or no pools.
    """
    if not folder.is_dir() or encoding is not None:
        what = f"--encoding {encoding}: M-BEIR is UTF-8" if folder.is_dir() else f"{folder}: no such folder"
        raise UsageError(f"{what}; expected the folder of M-BEIR, with query and cand_pool")
    queries, pools = _files(folder, _QUERIES, "jsonl"), _files(folder, _POOLS, "jsonl")
    if not queries or not pools:
        raise ReleaseError(
            f"{folder}: no {_QUERIES}/*.jsonl or no {_POOLS}/*.jsonl; put the queries of the tasks that you want there,"
            " and the pools of their candidates"
        )
    grades = _files(folder, _GRADES, "txt")
    return candidate_source(
        "mbeir",
        folder,
        (*pools, *queries, *grades),
        folder,
        partial(_candidates, folder, pools),
        partial(_queries, folder, pools, queries, grades),
    )


def _files(folder: Path, place: str, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in (folder / place).glob(f"*.{suffix}")))


def _lines(folder: Path, name: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The objects of a file with their lines; None for a line that is something else."""
    with (folder / name).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield number, row if isinstance(row, dict) else None


def _candidates(folder: Path, pools: tuple[str, ...]) -> Iterator[Candidate | ReleaseFault]:
    for name in pools:
        for number, row in _lines(folder, name):
            one = _candidate(row, name, number) if row is not None else None
            yield one or ReleaseFault(name, number, "bad_row", str((row or {}).get("did", ""))[:100])


def _candidate(row: Mapping[str, Any], file: str, line: int) -> Candidate | None:
    did, text, image = row.get("did"), row.get("txt"), row.get("img_path")
    texts = [value for value in (text, image) if value is not None]
    if not isinstance(did, str) or not did.strip() or not all(isinstance(value, str) for value in texts):
        return None
    text, image = (text or "").strip() or None, image or None
    return Candidate(file, line, did, text, image) if text or image else None


def _queries(
    folder: Path, pools: tuple[str, ...], files: tuple[str, ...], grade_files: tuple[str, ...], root: Path
) -> Iterator[SearchQuery]:
    domain_of = {
        one.candidate_id: domain_of_candidate(one.image)
        for one in _candidates(folder, pools)
        if isinstance(one, Candidate)
    }
    grades = _grades(folder, grade_files)
    for name in files:
        for number, row in _lines(folder, name):
            try:
                yield _query(row or {}, domain_of, grades, root)
            except (KeyError, TypeError, AttributeError) as error:
                raise ReleaseError(
                    f"{folder / name}:{number}: not a query of M-BEIR ({type(error).__name__}: {error}); expected "
                    "qid, query_txt, query_img_path, pos_cand_list and neg_cand_list"
                ) from error


def _query(
    row: Mapping[str, Any],
    domain_of: Mapping[str, DomainName],
    grades: Mapping[tuple[str, str], int],
    root: Path,
) -> SearchQuery:
    """Candidates that no pool has are taken out later, with all that the dataset lacks."""
    qid: str = row["qid"]
    text, image = (row["query_txt"] or "").strip() or None, row["query_img_path"] or None

    def keys(name: str) -> list[SampleKey]:
        listed = [one["did"] if isinstance(one, dict) else one for one in row.get(name) or ()]
        return [(domain_of.get(did, "page"), did) for did in dict.fromkeys(listed)]

    positives = [Positive(*key, grades.get((qid, key[1]), 1)) for key in keys("pos_cand_list")]
    answers = {one.key for one in positives}
    return SearchQuery(
        query_id=qid,
        text=text,
        images=() if image is None else (Frame(path=str(root / image)),),
        positives=tuple(positives),
        negatives=tuple(key for key in keys("neg_cand_list") if key not in answers),
    )


def _grades(folder: Path, files: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """Query and candidate -> grade, from lines `qid 0 did grade task`; grades of 0 are not answers."""
    found: dict[tuple[str, str], int] = {}
    for name in files:
        for number, line in enumerate((folder / name).read_text("utf-8").splitlines(), 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) < 4 or not fields[3].isdecimal():
                raise ReleaseError(
                    f"{folder / name}:{number}: expected qid, 0, did, grade and task, with blanks between"
                )
            if int(fields[3]) > 0:
                found[fields[0], fields[2]] = int(fields[3])
    return found
