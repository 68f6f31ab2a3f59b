"""A dataset that gets texts from sounds: which, which not, and what a stopped run goes on with."""

import pytest

pytest.importorskip("av")
pytest.importorskip("transformers")

import pyarrow.parquet as pq

from rope.asr.answers import ChatAnswer
from rope.asr.prompt import load_prompt
from rope.asr.summarize import summarize_dataset
from rope.asr.transcribe import transcribe_dataset
from rope.dataset.directory import iter_samples
from rope.dataset.manifest import read_manifest
from rope.dataset.validate import validate
from rope.errors import DatasetError, UsageError
from tests.asr.spoken import Ear, damaged, spoken_dataset
from tests.asr.test_summarize import digests
from tests.dataset.conftest import small_tables, write_tables
from tests.media.sounds import tone, write


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return spoken_dataset(tmp_path_factory.mktemp("spoken"))


def transcribe(data, folder, name="out", model=None, media=None):
    return transcribe_dataset(
        data, folder / name, model or Ear(), cache=folder / "texts.sqlite", media=media, progress=False
    )


def texts(directory, domain, split="validation"):
    samples = [sample for batch in iter_samples(directory, domain, split, batch_size=9) for sample in batch]
    return {sample.sample_id: sample.text for sample in samples}


def test_videos_with_sound_and_no_text_get_one(data, tmp_path):
    report = transcribe(data, tmp_path)
    assert texts(tmp_path / "out", "video") == {
        "v1": "440 Hz",
        "v2": "its own title",
        "v3": None,
        "v4": None,
        "v5": "440 Hz",
        "v6": None,
        "v7": "300 Hz 700 Hz",
    }
    assert texts(tmp_path / "out", "live") == {"l1": None}
    assert texts(tmp_path / "out", "page") == {"p1": "a cup", "p2": "a pan"}
    assert report.counts == {"speech": 3, "silent": 1, "no_track": 1, "no_file": 1, "damaged": 1}
    assert report.n_heard == 5
    assert [sentence.partition(": ")[0] for sentence in report.damaged] == ["videos v6"]
    assert "cannot be decoded" in report.damaged[0]


def test_the_new_dataset_is_sound_and_says_where_it_comes_from(data, tmp_path):
    transcribe(data, tmp_path)
    assert validate(tmp_path / "out") == []
    old, new = read_manifest(data), read_manifest(tmp_path / "out")
    assert new.fingerprint != old.fingerprint
    assert {**old.source, "speech_of": old.fingerprint, "speech_model": "ear", "speech_language": "zh"}.items() <= (
        new.source.items()
    )
    assert "what a speech model heard" in (tmp_path / "out" / "README.md").read_text()
    for name in old.shards:
        before, after = pq.read_table(data / name), pq.read_table(tmp_path / "out" / name)
        assert before.schema.equals(after.schema, check_metadata=True)
        if "text" in before.column_names:
            before, after = before.drop("text"), after.drop("text")
        assert after.equals(before)


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_how_many_parts_are_heard_together_changes_nothing(batch_size, data, tmp_path):
    transcribe(data, tmp_path, "whole")
    transcribe_dataset(data, tmp_path / "out", Ear(batch_size), cache=tmp_path / "other.sqlite", progress=False)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_nothing_is_heard_twice(data, tmp_path):
    transcribe(data, tmp_path)
    again = Ear()
    assert transcribe(data, tmp_path, "other", again).n_heard == 1  # the broken one, of which nothing is kept
    assert again.heard == []
    assert digests(tmp_path / "other") == digests(tmp_path / "out")
    assert not transcribe(data, tmp_path, "out").is_new


def test_a_stopped_run_goes_on_to_the_same_bytes(data, tmp_path):
    transcribe(data, tmp_path / "apart", "whole")
    with pytest.raises(KeyboardInterrupt):
        transcribe(data, tmp_path, model=Ear(batch_size=1, dies_after=2))
    assert not (tmp_path / "out").exists()
    second = Ear()
    transcribe(data, tmp_path, model=second)
    assert second.heard == ["300 Hz", "700 Hz"]
    assert digests(tmp_path / "out") == digests(tmp_path / "apart" / "whole")


@pytest.mark.parametrize("change", ["name", "fingerprint", "language"])
def test_another_model_writes_another_dataset(change, data, tmp_path):
    transcribe(data, tmp_path)
    other = Ear()
    setattr(other, change, "other")
    with pytest.raises(UsageError, match="another model"):
        transcribe(data, tmp_path, model=other)
    assert transcribe(data, tmp_path, "other", other).n_heard == (5 if change == "fingerprint" else 1)


def test_referenced_files_are_heard_where_they_are(data, tmp_path):
    other = spoken_dataset(tmp_path, media="reference")
    transcribe(other, tmp_path)
    transcribe(data, tmp_path, "embedded")
    assert texts(tmp_path / "out", "video") == texts(tmp_path / "embedded", "video")


def frames_without_texts(folder):
    tables = small_tables()
    for name in ("videos/train", "lives/train"):
        for row in tables[name]:
            row["text"] = None
    return write_tables(folder / "frames", tables)


def test_frames_get_the_sound_of_files_called_by_id(tmp_path):
    data, media = frames_without_texts(tmp_path), tmp_path / "media"
    for name, hertz, options in (
        ("videos/9.mp4", 500, {}),
        ("lives/5.wav", 600, {"codec": "pcm_s16le", "n_frames": 0}),
    ):
        (media / name).parent.mkdir(parents=True)
        (media / name).write_bytes(write(tone(1.0, hertz), container=name[-3:], **options))
    report = transcribe(data, tmp_path, media=media)
    assert texts(tmp_path / "out", "video", "train") == {"9": "500 Hz", "12": None}
    assert texts(tmp_path / "out", "live", "train") == {"5": "600 Hz", "6": None}
    assert report.counts == {"speech": 2, "no_file": 2, "damaged": 0}


def test_frames_alone_have_no_sound(tmp_path):
    with pytest.raises(
        DatasetError, match="the 4 videos and live clips without a text are frames, which have no sound"
    ):
        transcribe(frames_without_texts(tmp_path), tmp_path)


def test_where_every_video_has_a_text_nothing_is_to_do(tmp_path):
    with pytest.raises(DatasetError, match="every video and live clip has a text"):
        transcribe(write_tables(tmp_path / "small", small_tables()), tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [((), "has no folder videos or lives"), (("videos/9.mp4", "videos/9.wav"), "next to it is 9.mp4")],
)
def test_a_folder_of_media_has_one_file_an_id(names, says, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    for name in names:
        (media / name).parent.mkdir(exist_ok=True)
        (media / name).write_bytes(b"")
    with pytest.raises(UsageError, match=says):
        transcribe(frames_without_texts(tmp_path), tmp_path, media=media)


def test_a_file_that_is_gone_is_named(tmp_path):
    data = spoken_dataset(tmp_path, {"v1": damaged()}, media="reference")
    (tmp_path / "release" / "videos" / "v1.mp4").unlink()
    with pytest.raises(DatasetError, match=r"no sound can be read: videos v1: .*v1.mp4: cannot be read: No such file"):
        transcribe(data, tmp_path)


def test_speech_to_texts_to_summaries(data, tmp_path):
    class Speaker:
        name = "speaker"

        def answer(self, conversations, keep):
            for i, conversation in enumerate(conversations):
                keep(i, ChatAnswer(f"a sound of {conversation[-1]['content']}"))
            return []

    transcribe(data, tmp_path)
    prompt = load_prompt("zh", max_characters=100)
    summarize_dataset(
        tmp_path / "out", tmp_path / "short", Speaker(), prompt, cache=tmp_path / "answers.sqlite", progress=False
    )
    assert texts(tmp_path / "short", "video")["v1"] == "a sound of 440 Hz"
    source = read_manifest(tmp_path / "short").source
    assert (source["speech_model"], source["asr_model"]) == ("ear", "speaker")
