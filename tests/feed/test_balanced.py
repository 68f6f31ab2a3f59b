import pytest

from rope.errors import DatasetError, UsageError
from rope.feed import BalancedProducts, Feed, ProcessShare
from tests.feed.conftest import SIZES, write_products
from tests.feed.readers import READER

# The tests want several workers on any machine.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def source(data, **options):
    return BalancedProducts(data, "train", **({"reader": READER, "seed": 3, "batch_size": 4} | options))


def drawn(feed):
    """What an epoch gives of each product: sample ids, texts and numbers."""
    return {
        product: [(s.sample_ids[i], s.texts[i], *s.frames[i].tolist()) for s in batch.samples.values()]
        for batch in feed
        for i, product in enumerate(batch.product_ids)
    }


def test_every_product_comes_once_an_epoch_with_a_sample_of_its_own_of_each_domain(data):
    batches = list(Feed(source(data)))
    assert sorted(product for batch in batches for product in batch.product_ids) == list(SIZES)
    for batch in batches:
        for domain, letter in (("page", "p"), ("video", "v"), ("live", "l")):
            samples = batch.samples[domain].sample_ids
            assert [sample.rpartition("-")[0] for sample in samples] == batch.product_ids
            assert {sample.rpartition("-")[2][0] for sample in samples} == {letter}


def test_what_is_read_is_the_sample_that_is_named(data):
    numbers = [f"{product}-v{i}" for product, sizes in SIZES.items() for i in range(sizes[1])]
    for batch in Feed(source(data)):
        videos = batch.samples["video"]
        rows = [numbers.index(sample_id) for sample_id in videos.sample_ids]
        assert videos.frames[:, 0].tolist() == rows
        assert videos.frames[:, 1].tolist() == [2] * len(rows)
        assert videos.texts == [None if row % 3 == 0 else f"text of {numbers[row]}" for row in rows]


def test_epochs_and_seeds_differ_and_a_seed_repeats(data):
    feed, again, other = Feed(source(data)), Feed(source(data)), Feed(source(data, seed=4))
    first, second = drawn(feed), drawn(feed)
    assert list(first.items()) == list(drawn(again).items())
    for different in (second, drawn(other)):
        assert list(different) != list(first)
        assert different != first
    assert feed.epoch == 2


def test_all_samples_of_a_product_come_in_time(data):
    feed = Feed(source(data, domains=["video"]))
    seen = {batch.samples["video"].sample_ids[i] for _ in range(40) for batch in feed for i in range(len(batch[0]))}
    assert len(seen) == sum(videos for _, videos, _ in SIZES.values())


def test_a_draw_depends_on_no_other_product(data, tmp_path):
    fewer = write_products(tmp_path / "data", {product: SIZES[product] for product in list(SIZES)[::2]})
    of_all, of_fewer = drawn(Feed(source(data))), drawn(Feed(source(fewer)))
    ids = {product: [clip[0] for clip in clips] for product, clips in of_all.items()}
    assert {product: [clip[0] for clip in clips] for product, clips in of_fewer.items()} == {
        p: ids[p] for p in of_fewer
    }
    assert list(of_fewer) == [product for product in of_all if product in of_fewer]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n_workers", [0, 2])
def test_ranks_and_workers_do_not_overlap(n_workers, drop_last, data):
    feeds = [
        Feed(source(data, share=ProcessShare(rank, 3), drop_last=drop_last), num_workers=n_workers) for rank in range(3)
    ]
    batches = [[batch.product_ids for batch in feed] for feed in feeds]
    assert [[len(ids) for ids in of_rank] for of_rank in batches] == [[4] if drop_last else [4, 4]] * 3
    ids = [product for of_rank in batches for batch in of_rank for product in batch]
    assert (len(ids), len(set(ids))) == ((12, 12) if drop_last else (24, 23))
    assert [len(feed) for feed in feeds] == [len(batches[0])] * 3


def test_damaged_samples_are_replaced_by_the_next_of_their_product_and_counted(tmp_path):
    damaged = {"p02-v0", "p02-v1", "p04-v0", "p04-v3", "p04-v4", "p09-l0"}
    data = write_products(tmp_path / "data", SIZES, damaged)
    feed, sound = Feed(source(data, on_damaged="skip")), Feed(source(write_products(tmp_path / "sound", SIZES)))
    n_replaced = 0
    for _ in range(6):
        expected, got = drawn(sound), drawn(feed)
        assert list(got) == list(expected)
        for product, clips in got.items():
            ids, wanted = [clip[0] for clip in clips], [clip[0] for clip in expected[product]]
            assert not damaged & set(ids)
            for (sample, want), n in zip(zip(ids, wanted, strict=True), SIZES[product], strict=True):
                while want in damaged:
                    stem, letter, number = want[:-2], want[-2], int(want[-1])
                    want, n_replaced = f"{stem}{letter}{(number + 1) % n}", n_replaced + 1
                assert sample == want
    assert feed.n_damaged == n_replaced > 5
    assert sound.n_damaged == 0


def test_a_damaged_sample_is_raised_by_name_unless_it_may_be_skipped(tmp_path):
    data = write_products(tmp_path / "data", {"a": (1, 1, 1), "b": (1, 1, 1)}, {"a-v0"})
    with pytest.raises(DatasetError, match="video a-v0: embedded frame: cannot be decoded"):
        list(Feed(source(data)))


def test_a_product_of_which_nothing_can_be_decoded_has_a_stand_in(tmp_path):
    data = write_products(tmp_path / "data", dict.fromkeys("abcdef", (1, 1, 1)), {"c-v0"})
    feed, sound = (
        Feed(source(data, on_damaged="skip", batch_size=2)),
        Feed(source(data, batch_size=2, domains=["page"])),
    )
    order = [product for batch in sound for product in batch.product_ids]
    got = [product for batch in feed for product in batch.product_ids]
    assert got == [order[(i + 3) % 6] if product == "c" else product for i, product in enumerate(order)]
    assert feed.n_damaged == 1


def test_nothing_is_made_up_where_all_is_damaged(tmp_path):
    data = write_products(tmp_path / "data", dict.fromkeys("ab", (1, 1, 1)), {"a-v0", "b-p0"})
    with pytest.raises(
        DatasetError, match=r"in its place: no usable sample; (video a-v0|page b-p0).*(video a-v0|page b-p0)"
    ):
        list(Feed(source(data, on_damaged="skip")))


def test_products_that_lack_a_domain_are_left_out(tmp_path):
    data = write_products(tmp_path / "data", {"a": (1, 0, 1), "b": (1, 1, 1), "c": (1, 1, 0)})
    assert source(data).left_out == ["a", "c"]
    assert list(drawn(Feed(source(data)))) == ["b"]
    assert sorted(drawn(Feed(source(data, domains=["page", "live"])))) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected a whole number, at least 1"),
        ({"domains": []}, "domains is empty; expected at least one"),
        (
            {"batch_size": 12, "share": ProcessShare(0, 2), "drop_last": True},
            "23 products do not make one step of 12 for each",
        ),
    ],
)
def test_options_out_of_range_are_refused(options, expected, data):
    with pytest.raises(UsageError, match=expected):
        source(data, **options)
