"""A release small enough to read, for tests that break it in one place."""

from pathlib import Path

from PIL import Image

Lines = dict[str, list[str]]


def tiny_release() -> Lines:
    """Name of each text file -> its lines: products a1, a2 in training, b1, b2 in validation, a sample of each kind."""
    lines: Lines = {}
    for prefix, products in (("training_", ("a1", "a2")), ("test_", ("b1", "b2"))):
        for kind, texts, images in (
            ("pages", "page_titles", "page_images"),
            ("videos", "video_asrs", "video_frames"),
            ("lives", "live_asrs", "live_clips"),
        ):
            ids = {product: f"{kind[0]}{product}" for product in products}
            lines[f"{prefix}product_{kind}_pair.txt"] = [f"{product}, {ids[product]}" for product in products]
            lines[f"{prefix}{texts}.txt"] = [f"{sample}, text of {sample}, with a comma" for sample in ids.values()]
            lines[f"{prefix}{images}.txt"] = [
                f"{sample}, {sample}-0.jpg" if kind == "pages" else f"{sample}, {time}, {sample}-{time}.jpg"
                for sample in ids.values()
                for time in ((0,) if kind == "pages" else (120, 30, 90))
            ]
    return lines


def with_reviews(lines: Lines) -> Lines:
    """The release with a review of b1, whose text and images are still to be given."""
    for prefix in ("training_", "test_"):
        for name in ("product_reviews_pair", "review_texts", "review_images"):
            lines[f"{prefix}{name}.txt"] = []
    lines["test_product_reviews_pair.txt"] = ["b1, r1"]
    return lines


def write_release(folder: Path, lines: Lines) -> Path:
    """Write the text files, and an 8 x 8 JPEG for every image name that is in them and has none."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", "utf-8")
        for line in content:
            image = folder / "images" / line.rpartition(",")[2].strip()
            if image.suffix == ".jpg" and image.parent == folder / "images" and not image.exists():
                Image.new("RGB", (8, 8), (sum(image.name.encode()) % 256, 80, 160)).save(image)
    return folder
