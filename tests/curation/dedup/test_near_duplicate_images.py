import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from rope.curation.dedup.evidence import MediaPairs, make_items
from rope.curation.dedup.merge import MergeRules, merge_products
from rope.curation.dedup.near_duplicate_images import SIDE, _agreement, copy_pairs, score_pairs, thumbnail
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


def shifted(thumbnails, columns):
    """The picture that begins `columns` further right, and the map of each pixel to where it is there."""
    moved = np.roll(thumbnails, -columns, axis=2)
    place = np.array([[[1, 0, -2 * columns / SIDE], [0, 1, 0]]], np.float32)
    return moved, place


@pytest.mark.parametrize(("columns", "is_copy"), [(0, True), (12, True), (15, True), (17, False), (20, False)])
def test_a_copy_shows_at_least_half_of_the_other_picture(columns, is_copy):
    """The two agree wherever they overlap, so that nothing but the size of the overlap decides."""
    first = thumbnail(photo(3))[None]
    second, maps = shifted(first, columns)
    assert (_agreement(first, second, maps)[0] > 0) == is_copy
