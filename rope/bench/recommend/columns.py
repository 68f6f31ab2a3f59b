"""Which columns of a table hold user, item and time: by their names, or by their numbers where they have none."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from rope.errors import FileError, UsageError

__all__ = ["Columns", "find_columns", "names_a_column", "parse_columns"]


class Columns(NamedTuple):
    """The columns of the user, the item and the time of an interaction."""

    user: str
    item: str
    time: str


_STANDARD: Final = Columns("user_id", "item_id", "timestamp")
_USUAL: Final = {
    "user": frozenset({"user", "userid", "uid", "reviewerid", "customer", "customerid", "visitorid", "memberid"}),
    "item": frozenset(
        {"item", "itemid", "iid", "movieid", "product", "productid", "asin", "parentasin", "businessid", "bookid"}
        | {"artistid", "songid", "trackid", "newsid", "videoid", "gameid", "goodsid", "sampleid"}
    ),
    "time": frozenset({"timestamp", "time", "ts", "unixtime", "unixreviewtime", "datetime", "date", "eventtime"}),
}
"""Names that data sets give these columns, in small letters, without what is between words."""

_RECBOLE_TYPE: Final = re.compile(r":(token|float)(_seq)?$")


def parse_columns(text: str) -> Columns:
    """The three columns that `--columns` names.

    >>> parse_columns("reviewerID, asin,unixReviewTime")
    Columns(user='reviewerID', item='asin', time='unixReviewTime')

    Raises:
        UsageError: there are not three different ones.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) != 3 or not all(words) or len(set(words)) != 3:
        raise UsageError(f"--columns {text!r}: expected those of user, item and time, as in user,asin,ts or 2,1,4")
    return Columns(*words)


def names_a_column(name: str) -> bool:
    """Whether this is a usual name of a column with users, items or times.

    >>> [names_a_column(name) for name in ("userId", "user_id:token", "Parent ASIN", "978300760")]
    [True, True, True, False]
    """
    return any(_plain(name) in usual for usual in _USUAL.values())


def find_columns(names: Sequence[str], wanted: Columns | None, where: str) -> tuple[Columns, tuple[int, int, int]]:
    """Find user, item and time among the names of columns.

    Where no columns are named, `user_id`, `item_id` and `timestamp` are taken; where one of them is
    missing, the only column with another usual name is taken. RecBole's types (`user_id:token`) are not part of a name.

    Args:
        names: of all columns, in order.
        wanted: the columns given by name; None to find them.
        where: the file, for error texts.

    Returns:
        The names of the columns, and their places, from 0.

    >>> find_columns(["rating", "movieId", "userId", "timestamp"], None, "ratings.csv")
    (Columns(user='userId', item='movieId', time='timestamp'), (2, 1, 3))

    Raises:
        FileError: a column is not there, two could be meant, or one occurs twice.
    """
    bare = [_RECBOLE_TYPE.sub("", name.strip()) for name in names]
    found = []
    for role, standard in _STANDARD._asdict().items():
        name = getattr(wanted, role) if wanted is not None else standard
        matching = [place for place, one in enumerate(bare) if name in (one, names[place])]
        if not matching and wanted is None:
            matching = [place for place, one in enumerate(bare) if _plain(one) in _USUAL[role]]
        if len(matching) != 1:
            raise FileError(f"{where}: {_complaint(role, name, [names[place] for place in matching], names, wanted)}")
        found.append(matching[0])
    user, item, time = found
    return Columns(bare[user], bare[item], bare[time]), (user, item, time)


def _complaint(role: str, name: str, matching: list[str], names: Sequence[str], wanted: Columns | None) -> str:
    listed = ", ".join(names) or "none"
    if len(set(matching)) == 1:
        return f"the column {matching[0]} is there {len(matching)} times (of {listed}); keep one"
    if matching:
        return f"{' and '.join(matching)} could both be the {role}; say which with --columns USER,ITEM,TIME"
    if wanted is not None:
        return f"no column {name!r}, asked for by --columns; it has {listed}"
    return f"no column is known to hold the {role}; it has {listed}; name them with --columns USER,ITEM,TIME"


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]", "", _RECBOLE_TYPE.sub("", name.strip())).lower()
