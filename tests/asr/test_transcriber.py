"""Sounds one after the other: what is kept, and when."""

import pytest

pytest.importorskip("av")
pytest.importorskip("transformers")

from rope.asr.answers import ChatAnswer
from rope.asr.cache import open_cache
from rope.asr.transcriber import Transcriber
from rope.domain import Audio
from rope.errors import DatasetError
from tests.asr.spoken import Ear
from tests.media.sounds import tone, write


def flac(seconds: float, hertz: float) -> bytes:
    return write(tone(seconds, hertz, rate=16_000), 16_000, "flac", "flac", n_frames=0)


def without_the_end(content: bytes) -> bytes:
    return content[: len(content) * 9 // 10]


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_of_a_damaged_sound_nothing_is_kept_and_of_the_others_all(batch_size, tmp_path):
    with open_cache(tmp_path / "texts.sqlite") as answers:
        listener = Transcriber(Ear(batch_size), answers)
        listener.listen("whole", Audio(flac(1, 500)))
        with pytest.raises(DatasetError, match=r"is incomplete|cannot be decoded"):
            listener.listen("damaged", Audio(without_the_end(flac(70, 300))))
        listener.listen("long", Audio(flac(40, 700)))
        listener.finish()
        assert answers.get(["whole", "damaged", "long"]) == {
            "whole": ChatAnswer("500 Hz", prompt_tokens=1),
            "long": ChatAnswer("700 Hz 700 Hz", prompt_tokens=2),
        }


def test_a_long_sound_does_not_hold_back_the_texts_before_it(tmp_path):
    with open_cache(tmp_path / "texts.sqlite") as answers:
        listener = Transcriber(Ear(3, dies_after=3), answers)
        listener.listen("short", Audio(flac(1, 500)))
        with pytest.raises(KeyboardInterrupt):
            listener.listen("long", Audio(flac(170, 600)))
        assert list(answers.get(["short", "long"])) == ["short"]


def test_a_text_is_kept_as_soon_as_it_is_whole(tmp_path):
    with open_cache(tmp_path / "texts.sqlite") as answers:
        listener = Transcriber(Ear(2), answers)
        listener.listen("a", Audio(flac(1, 500)))
        assert answers.get(["a"]) == {}
        listener.listen("b", Audio(flac(1, 600)))
        assert list(answers.get(["a", "b"])) == ["a", "b"]
