import numpy as np
import pytest

from rope.synthetic.catalogue import plan_catalogue
from rope.synthetic.texts import colour_name, draw_speech, draw_title, mishear, names_category
from rope.synthetic.vocabulary import CATEGORIES, COLOUR_WORDS

WORDING = plan_catalogue(1, seed=0)[0].wording


def test_every_colour_has_a_name_with_words():
    levels = range(0, 256, 15)
    assert {colour_name((r, g, b)) for r in levels for g in levels for b in levels} == set(COLOUR_WORDS)


def test_titles_name_the_category_vary_and_sometimes_name_the_brand():
    rng = np.random.default_rng(0)
    titles = [draw_title(rng, WORDING) for _ in range(200)]
    branded = sum(WORDING.brand.latin in title or WORDING.brand.chinese in title for title in titles)
    assert all(names_category(title, WORDING.category) for title in titles)
    assert len(set(titles)) > 190
    assert 80 < branded < 160
    assert 5 < sum(", " in title for title in titles) < 60


@pytest.mark.parametrize(("on_topic", "low", "high"), [(0.0, 0.0, 0.05), (0.3, 0.2, 0.8), (1.0, 0.7, 1.0)])
def test_speech_names_the_category_as_often_as_it_is_on_topic(on_topic, low, high):
    rng = np.random.default_rng(0)
    spoken = [draw_speech(rng, WORDING, 4, on_topic) for _ in range(200)]
    share = np.mean([names_category(text, WORDING.category) for text in spoken if text])
    assert low <= share <= high


def test_one_speech_in_ten_is_empty():
    rng = np.random.default_rng(0)
    assert 50 < sum(draw_speech(rng, WORDING, 1, 0.5) is None for _ in range(1000)) < 150


@pytest.mark.parametrize(("rate", "fewest", "most"), [(0.0, 0, 0), (0.03, 1, 60), (0.25, 100, 400)])
def test_a_recogniser_makes_errors_at_its_rate(rate, fewest, most):
    text = "这款杯子" * 100
    heard = mishear(np.random.default_rng(0), text, rate)
    assert fewest <= sum(heard.count(wrong) for wrong in "者宽悲") <= most


def test_no_word_of_a_category_hides_in_a_word_of_another():
    for one in CATEGORIES:
        for other in CATEGORIES:
            shared = [w for w in one.words for v in other.words if one is not other and w in v]
            assert shared == []
