"""A dataset with summaries: what changes, what does not, and what a stopped run goes on with."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rope.asr.answers import ChatAnswer, UnansweredChat
from rope.asr.prompt import load_prompt
from rope.asr.summarize import summarize_dataset
from rope.dataset.directory import iter_samples
from rope.dataset.manifest import read_manifest
from rope.dataset.validate import validate
from rope.errors import RopeError, UsageError
from tests.dataset.conftest import small_tables, write_tables

PROMPT = load_prompt("zh", max_characters=100)


class Speaker:
    """Answers from a table; what is not in it gets its own summary; `dies_after` so many answers."""

    name = "speaker"

    def __init__(self, answers=(), lost=(), dies_after=None):
        self.answers, self.lost, self.dies_after, self.asked = dict(answers), lost, dies_after, []

    def answer(self, conversations, keep):
        lost = []
        for i, conversation in enumerate(conversations):
            text = conversation[-1]["content"]
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise KeyboardInterrupt
            if text in self.lost:
                lost.append(UnansweredChat(i, "status 500"))
                continue
            self.asked.append(text)
            keep(i, ChatAnswer(self.answers.get(text, f"summary of {text}"), False, 50, 5))
        return lost


@pytest.fixture
def data(tmp_path):
    tables = small_tables()
    tables["videos/train"][1]["text"] = "text of 9"  # as another video's
    tables["lives/train"][0]["text"] = None
    return write_tables(tmp_path / "small", tables)


def summarize(data, name="out", model=None, prompt=PROMPT):
    folder = data.parent
    return summarize_dataset(
        data, folder / name, model or Speaker(), prompt, cache=folder / "answers.sqlite", progress=False
    )


def texts(directory, domain, split="train"):
    return [sample.text for batch in iter_samples(directory, domain, split, batch_size=9) for sample in batch]


def digests(folder: Path):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_videos_and_lives_get_summaries_and_pages_keep_their_titles(data):
    report, out = summarize(data), data.parent / "out"
    assert texts(out, "page") == texts(data, "page")
    assert texts(out, "video") == ["summary of text of 9"] * 2
    assert texts(out, "live") == [None, "summary of text of 6"]
    assert (report.n_asked, report.n_null, report.outcomes) == (5, 1, {"summary": 7})
    assert (report.prompt_tokens, report.completion_tokens) == (250, 25)
    assert report.cost(2.0, 10.0) == pytest.approx(0.00075)


def test_the_new_dataset_is_sound_and_says_where_it_comes_from(data):
    summarize(data)
    out = data.parent / "out"
    assert validate(out, decode=True) == []
    old, new = read_manifest(data), read_manifest(out)
    assert new.fingerprint != old.fingerprint
    assert new.source == {"asr_of": old.fingerprint, "asr_model": "speaker", "asr_prompt": PROMPT.fingerprint}
    assert "asr_of" in (out / "README.md").read_text()


def test_all_but_the_texts_is_as_it_was(data):
    summarize(data)
    for name in read_manifest(data).shards:
        old, new = pq.read_table(data / name), pq.read_table(data.parent / "out" / name)
        if "text" in old.column_names:
            old, new = old.drop("text"), new.drop("text")
        assert new.equals(old)
        assert new.schema.metadata == old.schema.metadata


@pytest.mark.parametrize(
    ("said", "kind"), [("", "empty"), ("无", "empty"), (" None. ", "empty"), ("抱歉，我不能", "refused")]
)
def test_no_summary_is_null_and_counted(said, kind, data):
    report = summarize(data, model=Speaker({"text of 6": said}))
    assert texts(data.parent / "out", "live") == [None, None]
    assert report.outcomes == {"summary": 6, kind: 1}


def test_nothing_is_asked_twice(data):
    summarize(data)
    again = Speaker()
    report = summarize(data, "other", again)
    assert (again.asked, report.n_asked, report.prompt_tokens) == ([], 0, 0)
    assert digests(data.parent / "other") == digests(data.parent / "out")


@pytest.mark.parametrize("change", ["prompt", "model"])
def test_another_prompt_or_model_is_asked_anew(change, data):
    summarize(data)
    model = Speaker()
    model.name = "another" if change == "model" else model.name
    prompt = load_prompt("en", max_characters=100) if change == "prompt" else PROMPT
    assert summarize(data, "other", model, prompt).n_asked == 5
    with pytest.raises(UsageError, match="another model or another prompt"):
        summarize(data, "out", model, prompt)


def test_a_stopped_run_goes_on(data):
    with pytest.raises(KeyboardInterrupt):
        summarize(data, model=Speaker(dies_after=3))
    assert not (data.parent / "out").exists()
    second = Speaker()
    assert summarize(data, model=second).n_asked == 2
    assert summarize(data, "whole").is_new
    assert digests(data.parent / "out") == digests(data.parent / "whole")


def test_a_write_that_stopped_goes_on_to_the_same_bytes(data, monkeypatch):
    summarize(data, "whole")
    from rope.asr import rewrite

    original, calls = rewrite._rewrite, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(rewrite, "_rewrite", dies)
    with pytest.raises(KeyboardInterrupt):
        summarize(data)
    monkeypatch.undo()
    assert summarize(data).is_new
    assert digests(data.parent / "out") == digests(data.parent / "whole")


def test_a_text_without_an_answer_writes_nothing_and_the_next_run_asks_for_it_alone(data):
    with pytest.raises(RopeError, match=r"1 texts got no answer \(status 500\); nothing was written"):
        summarize(data, model=Speaker(lost={"text of 6"}))
    second = Speaker()
    summarize(data, model=second)
    assert second.asked == ["text of 6"]


def test_what_is_done_is_up_to_date(data):
    summarize(data)
    model = Speaker()
    assert not summarize(data, model=model).is_new
    assert model.asked == []


@pytest.mark.parametrize("name", ["notes.txt", ".rewrite/notes.txt"])
def test_a_folder_with_something_else_is_left_alone(name, data):
    path = data.parent / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    (data.parent / "out" / "more.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds .*more\.txt.*, and not an unfinished dataset"):
        summarize(data)
    assert path.read_text() == "mine"


def test_a_cache_that_is_another_file_is_named(data):
    (data.parent / "answers.sqlite").write_text("not a database, though as long as one may begin" * 10)
    with pytest.raises(RopeError, match=r"answers.sqlite: cannot be used to keep answers"):
        summarize(data)
