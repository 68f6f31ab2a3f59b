import pytest

from baselines.options import EmbeddingOptions, read_options
from rope.encoders.identity import fingerprint_of
from rope.errors import UsageError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"colour": "red"}, "unknown option 'colour'; expected some of frames, pool"),
        ({"frames": "many"}, "frames is 'many'; expected a whole number, at least 1"),
        ({"frames": "0"}, "frames is 0; expected a whole number, at least 1"),
        ({"frames": "4.0"}, "frames is '4.0'; expected a whole number"),
        ({"text_weight": "nan"}, "text_weight is nan; expected a finite number"),
        ({"frame": "4"}, "unknown option 'frame'; did you mean 'frames'"),
        ({"pool": "median"}, "pool is 'median'; expected one of mean, max, first"),
        ({"text_weight": "2"}, "from 0 to 1"),
        ({"texts": "page,Shop"}, "'Shop' is not a domain name"),
        ({"template": "a photo"}, "has no {}"),
    ],
)
def test_an_option_that_does_not_fit_is_named(given, expected):
    with pytest.raises(UsageError, match=expected):
        read_options(given, EmbeddingOptions())


@pytest.mark.parametrize(
    ("template", "expected"),
    [("none", "dress"), ("en", "a photo of dress"), ("zh", "一张dress的图片"), ("<{}>", "<dress>")],
)
def test_a_text_is_put_in_the_template(template, expected):
    assert read_options({"template": template}, EmbeddingOptions()).prompt("dress") == expected


def test_the_device_alone_is_not_in_a_fingerprint():
    changed = [{"frames": "3"}, {"pool": "max"}, {"text_weight": "0"}, {"texts": "page"}, {"template": "zh"}]
    given = [
        EmbeddingOptions(device="cpu"),
        EmbeddingOptions(device="cuda"),
        *(read_options(options, EmbeddingOptions()) for options in changed),
    ]
    assert len({fingerprint_of(options) for options in given}) == len(changed) + 1


def test_all_is_no_limit_to_what_is_decoded():
    assert read_options({"decode_side": "224"}, EmbeddingOptions()).decode_side == 224
    assert read_options({"decode_side": "all"}, EmbeddingOptions(decode_side=224)).decode_side is None
    with pytest.raises(UsageError, match="decode_side"):
        read_options({"decode_side": "0"}, EmbeddingOptions())
