"""Who has answered: the people that tasks were assigned to, whatever a tool calls them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import TaskBatch
from rope.errors import UsageError

__all__ = ["name_annotators", "read_names"]


def read_names(text: str) -> dict[str, str]:
    """What a tool calls people -> their names.

    >>> read_names("2=ann, 3=bob")
    {'2': 'ann', '3': 'bob'}

    Raises:
        UsageError: an entry has no name, or a user has two.
    """
    names: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        user, _, name = (part.strip() for part in entry.rpartition("="))
        if not user or not name:
            raise UsageError(f"annotators: {entry!r} names nobody; expected USER=NAME, such as 2=ann,3=bob")
        if names.setdefault(user, name) != name:
            raise UsageError(f"annotators: {user} is both {names[user]} and {name}; name each user once")
    return names


def name_annotators(
    answers: Iterable[AnnotatorAnswer], names: Mapping[str, str], batches: Sequence[TaskBatch], source: Path
) -> list[AnnotatorAnswer]:
    """Answers under the names that tasks were assigned to.

    Label Studio exports the numbers of users. Under a number, nobody would be found to have answered, and the same
    person would be asked again.

    Args:
        answers: as the tool has them.
        names: what the tool calls people -> their names. Somebody named here may answer what others were assigned.
        batches: all that were ever exported.
        source: of the answers, for the message.

    Raises:
        UsageError: an answer to an assigned task is of somebody that no task is assigned to.
    """
    named = [replace(one, annotator=names.get(one.annotator, one.annotator)) for one in answers]
    assigned = {task.item.task_id for batch in batches for task in batch.tasks if task.assigned}
    people = {who for batch in batches for task in batch.tasks for who in task.assigned}
    unknown = {one.annotator for one in named if one.task_id in assigned} - people - set(names.values())
    if unknown:
        first, listed = min(unknown), ", ".join(sorted(unknown))
        raise UsageError(
            f"{source}: has answers of {listed}, but the tasks are assigned to {', '.join(sorted(people))}; say who is "
            f"who with --annotators, such as --annotators {first}={min(people)}"
        )
    return named
