"""A page of this machine that asks one person whether pairs are one product, and adds the answers to the ledger.

The server listens on 127.0.0.1 alone. It answers only requests that name it as their host, and takes answers only with
a secret that its own page holds, so that other pages in the same browser can neither read nor send any.
"""

import json
import secrets
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import AnnotationTask, TaskBatch, read_batches
from rope.curation.annotation.export import LEDGER
from rope.curation.annotation.items import CHOICES, Item, Question, pair_id
from rope.curation.annotation.ledger import add_answers, current_answers, read_ledger
from rope.curation.dedup.told import Tie, all_ties, merge_stages, verdict_in_words
from rope.curation.page import page_template
from rope.curation.pipeline.accounting import kept_files
from rope.curation.pipeline.recipe import CurationRecipe, cut_recipe
from rope.curation.pipeline.runner import finished_stages
from rope.dataset.pictures import SamplePicture, picture_of
from rope.domain import Frame, Sample, Video
from rope.errors import DatasetError, UsageError

__all__ = ["Review", "ReviewServer", "evidence_of", "open_review"]

_ON_A_PAGE: Final = 20
_FRAMES: Final = 4
_SIDE: Final = 260
_MOST_BYTES: Final = 10_000
"""Of a request; an answer has some 150."""

_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A pair on the page: the item, its evidence in words, and what the person has answered so far."""

    item: Item
    evidence: str
    answer: str | None


class Review:
    """The questions for one person, and the answers so far; safe for several threads."""

    def __init__(
        self,
        folder: Path,
        question: Question,
        annotator: str,
        batches: Sequence[TaskBatch],
        ties: Mapping[str, Tie] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._folder, self._batches, self._ties = folder, batches, ties or {}
        self.annotator = annotator
        asked = [task for one in batches if one.question == question for task in one.tasks]
        self._tasks = {task.item.task_id: task for task in asked if _is_for(task, annotator)}
        self._known = read_ledger(folder / LEDGER)
        self._answers = current_answers(self._known)

    @property
    def n_tasks(self) -> int:
        """How many pairs there are for this person."""
        return len(self._tasks)

    @property
    def n_answered(self) -> int:
        """How many of them were answered."""
        return sum((name, self.annotator) in self._answers for name in self._tasks)

    def shown(self, page: int, *, only_open: bool) -> tuple[list[ShownTask], int]:
        """The pairs of a page, from 0, and the number of pages."""
        every = [self._shown(task) for task in self._tasks.values()]
        chosen = [one for one in every if one.answer is None] if only_open else every
        n_pages = max(1, -(-len(chosen) // _ON_A_PAGE))
        start = min(max(page, 0), n_pages - 1) * _ON_A_PAGE
        return chosen[start : start + _ON_A_PAGE], n_pages

    def answer(self, task_id: str, value: str) -> None:
        """Add an answer to the ledger; a later one of the same person counts instead of the earlier.

        Raises:
            UsageError: the pair is not here, or the question does not allow the answer.
        """
        if task_id not in self._tasks:
            raise UsageError(f"no pair {task_id!r} is asked here")
        item = self._tasks[task_id].item
        if value not in CHOICES[item.question]:
            raise UsageError(f"the answer is {value!r}; expected one of {', '.join(CHOICES[item.question])}")
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        made = AnnotatorAnswer(
            task_id=task_id, annotator=self.annotator, value=value, answered_at=now, media_digest=item.digest
        )
        with self._lock:
            add_answers(self._folder / LEDGER, [made], self._batches, self._known)
            self._known.append(made)
            self._answers[task_id, self.annotator] = made

    def _shown(self, task: AnnotationTask) -> ShownTask:
        given = self._answers.get((task.item.task_id, self.annotator))
        tie = self._ties.get(task.item.item_id)
        told = "" if tie is None else f"{tie.kind} {tie.score:.4f} ({tie.rule}); {verdict_in_words(tie)}"
        return ShownTask(task.item, told, None if given is None else given.value)


def open_review(folder: Path, question: Question, annotator: str, ties: Mapping[str, Tie] | None = None) -> Review:
    """The review of what was exported to a folder.

    Args:
        folder: of batches and the ledger.
        question: with the choices same, different and unclear.
        annotator: the name of who answers.
        ties: item -> the evidence about it, to be shown.

    Raises:
        UsageError: the question is not about pairs, the annotator has no name, or all pairs are assigned to others.
        DatasetError: a batch or the ledger is damaged.
    """
    if question not in CHOICES:
        raise UsageError(f"question {question!r}: review asks about pairs: {', '.join(CHOICES)}")
    if not annotator.strip():
        raise UsageError("annotator: answers need a name to count for somebody")
    review = Review(folder, question, annotator.strip(), batches := read_batches(folder), ties)
    people = {who for one in batches if one.question == question for task in one.tasks for who in task.assigned}
    if people and not review.n_tasks:
        raise UsageError(f"annotator: no pair is assigned to {review.annotator}, but to {', '.join(sorted(people))}")
    return review


def evidence_of(recipe: CurationRecipe, items: Collection[str]) -> dict[str, Tie]:
    """Item -> the strongest evidence about it that the stage merge has kept; empty where that is not up to date."""
    stage = merge_stages(recipe)[0].name
    try:
        stages = finished_stages(cut_recipe(recipe, stage))
    except DatasetError:
        return {}
    found: dict[str, Tie] = {}
    for tie in all_ties(kept_files(stages, stage)):
        for item in (pair_id(tie.left_row, tie.right_row), pair_id(tie.right_row, tie.left_row)):
            if item in items and (item not in found or tie.score > found[item].score):
                found[item] = tie
    return found


def _is_for(task: AnnotationTask, annotator: str) -> bool:
    return task.item.gold is None and (not task.assigned or annotator in task.assigned)


class ReviewServer(ThreadingHTTPServer):
    """Serves a review on 127.0.0.1.

    Args:
        review: what to ask.
        port: 0 takes any free one.

    Raises:
        UsageError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, review: Review, port: int = 0) -> None:
        self.review, self.secret = review, secrets.token_urlsafe(16)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror}; give another with --port, or 0 for any") from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer

    def do_GET(self) -> None:
        """The page."""
        asked = urlsplit(self.path)
        if not self._is_for_us() or asked.path != "/":
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")
            return
        state = {name: values[-1] for name, values in parse_qs(asked.query).items()}
        self._send(HTTPStatus.OK, "text/html", _page(self.server, state))

    def do_POST(self) -> None:
        """An answer, from the script of the page as JSON or from its form."""
        length = int(self.headers.get("Content-Length") or 0)
        if not self._is_for_us() or self.path != "/answer" or length > _MOST_BYTES:
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")
            return
        sent = {
            name: values[-1] for name, values in parse_qs(self.rfile.read(length).decode("utf-8", "replace")).items()
        }
        if not secrets.compare_digest(sent.get("secret", "").encode(), self.server.secret.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "this page was opened before the command was started again; reload it")
            return
        review = self.server.review
        try:
            review.answer(sent.get("task", ""), sent.get("answer", ""))
        except UsageError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        if "application/json" in (self.headers.get("Accept") or ""):
            counts = {"answered": review.n_answered, "tasks": review.n_tasks}
            self._send(HTTPStatus.OK, "application/json", json.dumps(counts))
            return
        back = urlencode([(name, sent[name]) for name in ("page", "show") if name in sent])
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"/?{back}#{sent['task']}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name of the base class
        """Nothing: a line for each picture would bury the address."""

    def _is_for_us(self) -> bool:
        port = self.server.server_port
        return self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}")

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, "text/plain", sentence + "\n")

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _page(server: ReviewServer, state: Mapping[str, str]) -> str:
    number = state.get("page", "0")
    page = int(number) if number.isdecimal() and len(number) < 9 else 0
    only_open = state.get("show", "open") != "all"
    shown, n_pages = server.review.shown(page, only_open=only_open)
    return page_template("review.html.j2").render(
        review=server.review,
        shown=shown,
        page=min(page, n_pages - 1),
        n_pages=n_pages,
        only_open=only_open,
        secret=server.secret,
        choices=CHOICES["merge"],
        picture=_picture,
    )


def _picture(item: Item, heading: str) -> SamplePicture:
    """What is shown of one row of an item."""
    frames = tuple(Frame(None, path) for path in item.media.get(heading, ()))
    video = Video(None, item.videos[heading]) if heading in item.videos and not frames else None
    sample = Sample(heading, "page", item.texts.get(heading) or None, frames, video, None)
    return picture_of(sample, _FRAMES, _SIDE)
