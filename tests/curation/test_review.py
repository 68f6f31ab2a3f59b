"""A person answers pairs on a page, and the next run applies the answers."""

import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.annotation.batches import AnnotationTask, BatchOptions, TaskBatch, plan_batches, write_batch
from rope.curation.annotation.items import Item
from rope.curation.annotation.ledger import read_ledger
from rope.curation.dedup.questions import merge_questions
from rope.curation.dedup.stage import MergeRows
from rope.curation.review import ReviewServer, open_review
from rope.errors import UsageError

RECIPE = """
[pool]
path = "pool.parquet"
[[stage]]
use = "decode"
[[stage]]
use = "answers"
labels = "LABELS"
[[stage]]
use = "merge"
copies = false
thresholds = { page-page = 1.0 }
"""
BRANDED = RECIPE.replace("[pool]", '[pool]\nkeep = ["brand"]') + 'vetoes = ["brand"]\n'


class Serving:
    """A server in a thread, and a person's requests to it."""

    def __init__(self, review):
        self.server = ReviewServer(review)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get(self, path="", **headers):
        return self.send(urllib.request.Request(self.server.address + path, headers=headers))

    def answer(self, task, value, secret=None, **headers):
        fields = {"task": task, "answer": value, "secret": self.server.secret if secret is None else secret}
        data = urllib.parse.urlencode(fields).encode()
        return self.send(urllib.request.Request(self.server.address + "answer", data, headers))

    def send(self, request):
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def tasks(self, path=""):
        return dict(re.findall(r'<article class="pair" id="(\w+)".*?aria-label="pair ([^",]+)', self.get(path)[1]))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    open_ones = []

    def start(review):
        open_ones.append(Serving(review))
        return open_ones[-1]

    yield start
    for one in open_ones:
        one.close()


@pytest.fixture
def pairs(tmp_path):
    """A folder with 45 exported pairs of pictures."""
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "a.png")
    shown = {"page": (str(tmp_path / "a.png"),), "other page": (str(tmp_path / "a.png"),)}
    items = [
        Item(item_id=f"p{i}|q{i}", question="merge", texts={"page": "<b>cup</b>", "other page": ""}, media=shown)
        for i in range(45)
    ]
    (batch,) = plan_batches(items, frozenset(), BatchOptions(overlap=0.0))
    write_batch(tmp_path / "asked", batch, BatchOptions())
    return tmp_path / "asked"


@pytest.mark.parametrize(("value", "products"), [("same", {"h0", "h2"}), ("different", {"h0", "h1", "h2"})])
@pytest.mark.parametrize(("brands", "told"), [("xxx", "merged"), ("xyx", "their brand differs: x and y")])
def test_what_a_person_answers_on_the_page_is_in_the_dataset_after_the_next_run(
    brands, told, value, products, curate, monkeypatch, tmp_path
):
    """Pages 0 and 1 show one file: merged at first, or kept apart by a veto. The command serves, gets an answer, and is
    ended by Ctrl-C; the next run does as the answer says, and nothing is left to ask."""
    rows = []
    for i, colour in enumerate(("red", "red", "blue")):
        Image.new("RGB", (30, 30), colour).save(tmp_path / f"{i}.png")
        rows.append({"id": f"p{i}", "domain": "page", "text": "cup", "frames": [f"{i}.png"], "product_hint": f"h{i}"})
        rows[-1]["brand"] = brands[i]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    (tmp_path / "none.csv").write_text("item_id,label\n")
    recipe = tmp_path / "r.toml"
    recipe.write_text(BRANDED.replace("LABELS", "none.csv"))
    assert curate("run", recipe, "--workers", 1)[0] == 0

    def answer_and_stop(server):
        threading.Thread(target=serve_really, args=(server,), daemon=True).start()
        one = Serving.__new__(Serving)
        one.server = server
        ((task, item),) = one.tasks().items()
        assert item == "p0|p1"
        assert f"same media 1.0000 (the same files); {told}" in one.get()[1]
        assert one.answer(task, value)[0] == 200
        server.shutdown()
        raise KeyboardInterrupt

    serve_really = ReviewServer.serve_forever
    monkeypatch.setattr(ReviewServer, "serve_forever", answer_and_stop)
    words = ["review", recipe, "--in", tmp_path / "asked", "--annotator", "ann", "--below", 1.01]
    code, out, _ = curate(*words, "--out", tmp_path / "labels.parquet")
    assert (code, "1 of 1 pairs are answered" in out) == (0, True)
    (label,) = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    assert (label["item_id"], label["label"], label["answers"]) == ("p0|p1", value, f"ann: {value}")
    recipe.write_text(BRANDED.replace("LABELS", "labels.parquet"))
    assert curate("run", recipe, "--workers", 1)[0] == 0
    (path,) = (tmp_path / "r-work" / "stages" / "merge").glob("*.kept.parquet")
    assert set(pq.read_table(path)["product_id"].to_pylist()) == products
    assert [row["answer"] for row in pq.read_table(path).to_pylist()].count(None) == 1
    assert merge_questions([before(tmp_path)], MergeRows({"page-page": 1.0}, copies=False, vetoes=["brand"])) == []


def before(tmp_path):
    """The rows that go into the merge."""
    (path,) = (tmp_path / "r-work" / "stages" / "answers").glob("*.kept.parquet")
    return path


def test_each_answer_is_stored_at_once_and_a_second_server_goes_on(pairs, serve):
    first = serve(open_review(pairs, "merge", "ann"))
    tasks = list(first.tasks())
    assert len(tasks) == 20
    code, reply = first.answer(tasks[0], "same", Accept="application/json")
    assert (code, json.loads(reply)) == (200, {"answered": 1, "tasks": 45})
    assert first.answer(tasks[1], "unclear")[0] == 200
    assert first.answer(tasks[1], "different")[0] == 200
    told = [(one.task_id, one.annotator, one.value) for one in read_ledger(pairs / "ledger")]
    assert told == [(tasks[0], "ann", "same"), (tasks[1], "ann", "unclear"), (tasks[1], "ann", "different")]

    second = serve(open_review(pairs, "merge", "ann"))
    assert not {tasks[0], tasks[1]} & set(second.tasks())
    assert "2</span> of 45 answered by ann" in second.get()[1]
    assert 'value="different" aria-pressed="true"' in second.get("?show=all")[1]
    assert len(second.tasks("?show=all&page=2")) == 5
    assert set(serve(open_review(pairs, "merge", "bob")).tasks()) == set(tasks)


def test_a_pair_that_is_asked_again_of_somebody_else_stays_with_those_who_were_asked_first(tmp_path):
    item = Item(item_id="p|q", question="merge", texts={"page": "cup"})
    for name, who, answered in (("merge-0", ("ann", "bob"), 0), ("merge-again", ("cat",), 2)):
        task = AnnotationTask(item, answered + len(who), who, answered)
        write_batch(tmp_path, TaskBatch(name, "merge", (task,)), BatchOptions())
    assert [open_review(tmp_path, "merge", name).n_tasks for name in ("ann", "bob", "cat")] == [1, 1, 1]
    with pytest.raises(UsageError, match="no pair is assigned to eve, but to ann, bob, cat"):
        open_review(tmp_path, "merge", "eve")


def test_a_second_person_reviews_what_was_exported_although_labels_have_changed(curate, monkeypatch, pairs, tmp_path):
    """The labels of the first person put the stage `answers` out of date."""
    Image.new("RGB", (30, 30), "red").save(tmp_path / "0.png")
    rows = [{"id": "p0", "domain": "page", "text": "cup", "frames": ["0.png"], "product_hint": "h0"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    (tmp_path / "none.csv").write_text("item_id,label\n")
    (tmp_path / "r.toml").write_text(RECIPE.replace("LABELS", "none.csv"))
    assert curate("run", tmp_path / "r.toml", "--workers", 1, "--until", "decode")[0] == 0

    def stop(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(ReviewServer, "serve_forever", stop)
    code, out, err = curate("review", tmp_path / "r.toml", "--in", pairs, "--annotator", "bob")
    assert (code, err) == (0, "")
    assert "'answers' of r is not up to date; run: rope curate run RECIPE; until then these are the pairs" in out
    assert "45 of 45 pairs are open for bob" in out
    assert curate("review", tmp_path / "r.toml", "--in", tmp_path / "none", "--annotator", "bob")[0] == 1
    code, out, _ = curate("why", tmp_path / "r.toml", "p0")
    assert (code, out.splitlines()[-1]) == (
        0,
        f"answers: is not up to date; run: rope curate run {tmp_path / 'r.toml'}",
    )


def test_two_people_at_once_lose_no_answer(pairs, serve):
    servers = [serve(open_review(pairs, "merge", name)) for name in ("ann", "bob")]
    tasks = list(servers[0].tasks())[:6]
    threads = [
        threading.Thread(target=lambda s=one: [s.answer(task, "same", Accept="application/json") for task in tasks])
        for one in servers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = {(one.task_id, one.annotator) for one in read_ledger(pairs / "ledger")}
    assert told == {(task, name) for task in tasks for name in ("ann", "bob")}


def test_other_pages_and_hosts_can_neither_read_nor_answer(pairs, serve):
    one = serve(open_review(pairs, "merge", "ann"))
    task = next(iter(one.tasks()))
    assert one.server.server_address[0] == "127.0.0.1"
    assert one.get(Host="evil.example:80")[0] == 404
    assert one.get("etc/passwd")[0] == 404
    assert one.answer(task, "same", secret="guess")[0] == 403
    assert one.answer(task, "same", Host="evil.example")[0] == 404
    code, sentence = one.answer(task, "yes")
    assert (code, sentence) == (400, "the answer is 'yes'; expected one of same, different, unclear\n")
    assert one.answer("0" * 32, "same")[0] == 400
    assert one.get("?page=99999999999&show=no")[0] == 200
    assert read_ledger(pairs / "ledger") == []


@pytest.mark.parametrize(
    ("question", "annotator", "sentence"),
    [("product_name", "ann", "review asks about pairs"), ("merge", " ", "answers need a name")],
)
def test_a_review_needs_pairs_and_a_name(question, annotator, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        open_review(tmp_path, question, annotator)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_used_by_keys_alone_and_breaks_no_rule_of_access(pairs, serve, chromium, width, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    one = serve(open_review(pairs, "merge", "ann"))
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(one.server.address)
    found = axe.run(page, options={"preload": False})
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert "<b>cup</b>" in page.locator("article").first.inner_text()
    ids = page.locator("article[id]").evaluate_all("(all) => all.map((one) => one.id)")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("2")
    page.locator("#answered", has_text="1").wait_for()
    page.keyboard.press("1")
    page.locator("#answered", has_text="2").wait_for()
    told = [(answer.task_id, answer.value) for answer in read_ledger(pairs / "ledger")]
    assert told == [(ids[0], "different"), (ids[1], "same")]
    assert page.evaluate("document.activeElement.id") == ids[2]
    assert [url for url in asked if not url.startswith((one.server.address, "data:"))] == []
    assert sum(map(len, page.locator("script").evaluate_all("(all) => all.map((one) => one.text)"))) < 60_000
    context.close()
