import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont, ImageOps

from rope.curation.dedup.agreement import Agreement
from rope.curation.dedup.evidence import MediaPairs, make_items
from rope.curation.dedup.merge import MergeRules, merge_products
from rope.curation.dedup.near_duplicate_images import SIDE, CopyRules, _score, copy_pairs, score_pairs, thumbnail
from rope.synthetic.copies import TRANSFORMS, draw_transform, transformed
from tests.stored import POOL


def photo(seed):
    """Coloured blobs at three scales: 240 x 200, with structure down to a few pixels."""
    rng = np.random.default_rng(seed)
    layers = [rng.integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (4, 9, 25)]
    images = [Image.fromarray(layer).resize((240, 200), Image.Resampling.BICUBIC) for layer in layers]
    return Image.blend(Image.blend(images[0], images[1], 0.4), images[2], 0.3)


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def copied(image, name, seed):
    transform = draw_transform(np.random.default_rng(seed), name)
    return jpeg(transformed(image, transform), int(transform.params.get("quality", 85)))


def is_copy(first, second, *, mirrored=False):
    both = np.stack([thumbnail(first), thumbnail(second)])
    return score_pairs(both, np.array([0]), np.array([1]), np.array([mirrored]))[0] > 0


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_of_the_synthetic_pool_is_found(name):
    originals = [photo(seed) for seed in range(12)]
    copies = [copied(image, name, seed) for seed, image in enumerate(originals)]
    found = copy_pairs(np.stack([thumbnail(image) for image in originals + copies]))
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == [(i, i + 12) for i in range(12)]
    assert not found.mirrored.any()


def test_a_mirror_image_is_found_and_named():
    thumbnails = np.stack([thumbnail(photo(0)), thumbnail(photo(1)), thumbnail(ImageOps.mirror(photo(0)))])
    found = copy_pairs(thumbnails)
    assert (found.left.tolist(), found.right.tolist(), found.mirrored.tolist()) == ([0], [2], [True])
    assert not is_copy(photo(0), ImageOps.mirror(photo(0)))


def test_another_colour_of_the_same_structure_is_no_copy():
    red, green, blue = photo(0).split()
    assert is_copy(photo(0), photo(0))
    assert not is_copy(photo(0), Image.merge("RGB", (blue, red, green)))


def test_a_patch_of_another_colour_is_no_copy():
    changed = photo(0)
    changed.paste((250, 0, 0), (96, 80, 150, 125))
    assert not is_copy(photo(0), changed)


def test_plain_surfaces_are_no_copies():
    plain = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (10, 10, 200)])
    assert not len(copy_pairs(plain).left)
    assert score_pairs(plain, np.array([0]), np.array([1]), np.array([False])).tolist() == [0.0]


def test_a_score_depends_on_its_pair_alone():
    thumbnails = np.stack([thumbnail(photo(seed)) for seed in range(3)] + [thumbnail(copied(photo(0), "crop", 1))])
    left, right = np.array([0, 1, 2, 0]), np.array([3, 3, 3, 1])
    together = score_pairs(thumbnails, left, right, np.zeros(4, bool))
    alone = [score_pairs(thumbnails, left[i : i + 1], right[i : i + 1], np.zeros(1, bool))[0] for i in range(4)]
    assert together.tolist() == alone


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pictures_have_no_copies(n):
    assert not len(copy_pairs(np.zeros((n, SIDE, SIDE, 3), np.uint8)).left)


def read_pool():
    answers = sorted(pq.read_table(POOL / "answers.parquet").to_pylist(), key=lambda row: row["id"])
    names = {row["id"]: row["image"] for row in pq.read_table(POOL / "pool.parquet").to_pylist()}
    thumbnails = []
    for row in answers:
        with Image.open(POOL / names[row["id"]]) as image:
            thumbnails.append(thumbnail(image))
    return answers, np.stack(thumbnails)


def true_pairs(answers):
    group = [row["dup_group"] for row in answers]
    return {(i, j) for j in range(len(group)) for i in range(j) if group[i] is not None and group[i] == group[j]}


def test_copies_of_real_photos_are_found_and_nothing_else():
    answers, thumbnails = read_pool()
    found = copy_pairs(thumbnails)
    true = true_pairs(answers)
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == true
    assert {answers[i]["transform"] for pair in true for i in pair} == {None, *TRANSFORMS}


def test_real_photos_merge_into_the_planted_groups():
    answers, thumbnails = read_pool()
    ids = [str(row["id"]) for row in answers]
    found = copy_pairs(thumbnails)
    more = MediaPairs("perceptual", [ids[i] for i in found.left], [ids[i] for i in found.right], found.score)
    merge = merge_products(make_items(ids, ["page"] * len(ids), ids), MergeRules({("page", "page"): 0.9}), more=[more])
    merged = dict(zip(merge.items.product_ids.tolist(), merge.group.tolist(), strict=True))
    got = {(i, j) for j in range(len(ids)) for i in range(j) if merged[ids[i]] == merged[ids[j]]}
    assert got == true_pairs(answers)


def on_backdrop(seed, *, goods_side=110):
    """Goods in the middle of a backdrop that all seeds share."""
    found = photo(100)
    found.paste(photo(seed).resize((goods_side, goods_side)), (65, 45))
    return found


def test_different_goods_on_one_backdrop_are_no_copies():
    goods = [on_backdrop(seed) for seed in range(12)]
    assert not len(copy_pairs(np.stack([thumbnail(image) for image in goods])).left)
    assert is_copy(goods[0], jpeg(goods[0], 40))


def garment(colour, ground):
    image = Image.new("RGB", (200, 200), ground)
    ImageDraw.Draw(image).polygon([(70, 20), (130, 20), (180, 180), (20, 180)], fill=colour)
    ImageDraw.Draw(image).rectangle((80, 60, 120, 80), fill="white")
    return image


def test_goods_of_one_shape_and_another_colour_are_no_copies():
    assert is_copy(garment("navy", "white"), jpeg(garment("navy", "white"), 40))
    for colour, ground in (("olive", "white"), ("olive", "lavender"), ("purple", "beige"), ("crimson", "white")):
        assert not is_copy(garment("navy", "white"), garment(colour, ground))


def cloth(seed):
    """A garment of a colour that all seeds share, and folds of its own, over two thirds of a shared photo."""
    rng = np.random.default_rng(seed)
    levels = rng.normal(150, 14, (16, 16, 1)) + np.array([0, 10, 40])
    folds = Image.fromarray(levels.clip(0, 255).astype(np.uint8)).resize((150, 160), Image.Resampling.BICUBIC)
    found = photo(100)
    found.paste(folds, (45, 20))
    return found


def test_garments_of_one_colour_on_one_backdrop_are_no_copies():
    garments = [cloth(seed) for seed in range(8)]
    assert not len(copy_pairs(np.stack([thumbnail(image) for image in garments])).left)
    assert is_copy(garments[0], copied(garments[0], "crop", 3))


def test_a_plain_ground_does_not_make_small_goods_alike():
    first, second = (Image.new("RGB", (240, 240), "white") for _ in range(2))
    first.paste(photo(5).resize((80, 80)), (80, 80))
    second.paste(photo(6).resize((80, 80)), (80, 80))
    assert not is_copy(first, second)
    assert is_copy(first, jpeg(first, 50))


def test_text_over_a_picture_leaves_it_a_copy():
    text = on_backdrop(1)
    draw = ImageDraw.Draw(text)
    draw.rectangle((10, 150, 130, 166), fill="navy")
    draw.text((14, 151), "FREE SHIPPING", "white", ImageFont.load_default(14))
    assert is_copy(on_backdrop(1), text)
    assert not is_copy(on_backdrop(2), text)


@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        ({}, True),
        ({"differing": 0.13}, False),
        ({"shown": 0.23}, False),
        ({"patch": 0.81}, False),
        ({"structure": 0.64}, False),
        ({"overlap": 0.49}, False),
    ],
)
def test_each_limit_alone_decides(change, is_found):
    at_limit = {"differing": 0.12, "shown": 0.22, "patch": 0.8, "structure": 0.65, "overlap": 0.5}
    agreement = Agreement(**{name: np.array([value]) for name, value in (at_limit | change).items()})
    assert (_score(agreement, CopyRules())[0] > 0) == is_found


def barred(image, top):
    """The picture with a grey bar over an eleventh of it."""
    covered = image.copy()
    ImageDraw.Draw(covered).rectangle((0, top, image.width, top + image.height // 11), fill="grey")
    return covered


def pairs_of(images, **rules):
    found = copy_pairs(np.stack([thumbnail(image) for image in images]), CopyRules(**rules))
    return list(zip(found.left.tolist(), found.right.tolist(), found.mirrored.tolist(), strict=True))


@pytest.mark.parametrize("mirrored", [False, True])
def test_two_copies_of_a_third_picture_may_differ_by_what_was_done_to_both(mirrored):
    original, above, below = photo(3), barred(photo(3), 20), barred(photo(3), 150)
    below = ImageOps.mirror(below) if mirrored else below
    assert pairs_of([above, below]) == []
    assert pairs_of([original, above, below], between=1) == [(0, 1, False), (0, 2, mirrored)]
    assert pairs_of([original, above, below]) == [(0, 1, False), (0, 2, mirrored), (1, 2, mirrored)]


def test_copies_of_a_third_picture_that_differ_by_more_are_not_joined():
    images = [photo(3), barred(photo(3), 20), barred(photo(3), 150)]
    assert pairs_of(images, between=1.25) == [(0, 1, False), (0, 2, False)]


def test_a_picture_with_more_copies_than_are_compared_joins_none_of_them():
    images = [photo(3), *(barred(photo(3), top) for top in (0, 40, 80, 120, 160))]
    assert len(pairs_of(images, candidates=5)) == 15
    assert len(pairs_of(images, candidates=4)) < 15


def folded(seed, jitter=0.015):
    """A garment of a colour and a cut that all seeds share, with folds and an outline of its own, on one backdrop."""
    rng = np.random.default_rng(seed)
    ground = photo(100).resize((240, 240))
    outline = np.array([(0.3, 0.1), (0.7, 0.1), (0.75, 0.9), (0.52, 0.9), (0.5, 0.4), (0.48, 0.9), (0.25, 0.9)])
    mask = Image.new("L", ground.size)
    ImageDraw.Draw(mask).polygon([tuple(at) for at in (outline + rng.normal(0, jitter, outline.shape)) * 240], fill=255)
    levels = 1 + 0.12 * rng.normal(0, 1, (12, 12, 1))
    cloth = Image.fromarray((np.array([60, 90, 150]) * levels).clip(0, 255).astype(np.uint8)).resize(ground.size)
    return Image.composite(cloth, ground, mask)


def watermarked(image):
    letters = Image.new("L", image.size)
    for y in (20, 80, 140, 200):
        ImageDraw.Draw(letters).text((y // 2, y), "SHOP.EXAMPLE", 110, ImageFont.load_default(16))
    return Image.composite(Image.new("RGB", image.size, "white"), image, letters)


@pytest.mark.parametrize("change", [watermarked, lambda image: image.point(lambda level: min(255, int(1.25 * level)))])
def test_folds_tell_garments_apart_even_where_a_copy_is_changed(change):
    """Garments of one colour and outline: only what is inside of them differs."""
    garments = [folded(seed, jitter=0) for seed in range(5)]
    assert all(is_copy(one, change(one)) for one in garments)
    assert not any(is_copy(garments[0], change(other)) for other in garments[1:])
    assert not any(is_copy(garments[0], other) for other in garments[1:])


def test_a_bar_of_text_does_not_pull_one_picture_off_the_other():
    """Goods on a plain wall: the bar is the strongest edge of the picture."""
    plain = Image.new("RGB", (240, 240), (225, 215, 205))
    plain.paste(photo(7).resize((100, 120)), (70, 80))
    barred = plain.copy()
    ImageDraw.Draw(barred).rectangle((40, 205, 230, 220), fill="black")
    ImageDraw.Draw(barred).text((44, 205), "FREE SHIPPING", "white", ImageFont.load_default(14))
    assert is_copy(plain, barred)
    other = Image.new("RGB", (240, 240), (225, 215, 205))
    other.paste(photo(8).resize((100, 120)), (70, 80))
    assert not is_copy(other, barred)


@pytest.mark.parametrize("gain", [0.6, 1.25])
def test_another_light_leaves_a_pale_picture_a_copy(gain):
    """The darkest is flatter by four tenths; in the brightest, colours end at white."""
    pale = Image.blend(photo(3), Image.new("RGB", photo(3).size, (200, 200, 200)), 0.4)
    pale.paste((245, 240, 235), (60, 50, 160, 150))
    pale.paste(photo(4).resize((60, 40)), (80, 80))
    assert is_copy(pale, pale.point(lambda level: min(255, int(gain * level))))


ALIKE = [photo(0), jpeg(photo(0), 30), copied(photo(0), "crop", 2), ImageOps.mirror(photo(0)), photo(1), on_backdrop(3)]
ALIKE += [ImageOps.mirror(copied(photo(0), "crop", 5)), on_backdrop(4), jpeg(on_backdrop(3), 50), photo(0)]
THUMBNAILS = np.stack([thumbnail(image) for image in ALIKE])


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_score_does_not_depend_on_which_picture_comes_first(mirrored):
    left, right = np.triu_indices(len(THUMBNAILS))
    turned = np.full(len(left), mirrored)
    there, back = score_pairs(THUMBNAILS, left, right, turned), score_pairs(THUMBNAILS, right, left, turned)
    assert there.tolist() == back.tolist()
    assert (there > 0).sum() > 5


def named(found, order):
    """The pairs with the numbers that the pictures have in `THUMBNAILS`."""
    ends = np.sort(np.stack([order[found.left], order[found.right]]), axis=0)
    return sorted(zip(*ends.tolist(), found.score.tolist(), found.mirrored.tolist(), strict=True))


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(len(ALIKE))), st.integers(2, 4))
def test_the_order_of_the_pictures_changes_no_pair(order, candidates):
    order, rules = np.array(order), CopyRules(candidates=candidates)
    expected = copy_pairs(THUMBNAILS, rules)
    assert named(copy_pairs(THUMBNAILS[order], rules), order) == named(expected, np.arange(len(ALIKE)))


def test_more_pictures_with_one_content_than_are_compared_are_all_hubs():
    many = np.concatenate([np.repeat(THUMBNAILS[:1], 9, axis=0), THUMBNAILS[2:3]])
    found = copy_pairs(many, CopyRules(candidates=4))
    degree = np.bincount(np.concatenate([found.left, found.right]), minlength=10)
    assert degree.min() >= 4
    assert len(found.left) < 45
