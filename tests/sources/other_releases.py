"""Other releases, small enough to read, in the layouts that their authors describe."""

import json
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("av", reason="PyAV, which makes the videos of these releases, is not installed")

from tests.media import videos

MP4 = videos.write(videos.scene(3, 32, 32))
"""A video of three frames."""

LIVES = ("aa-0-0-0-1", "bb-0-0-0-2")
TRAINING_CLIPS = ("cc-0-0-0-3-10-19", "cc-0-0-0-3-20-29")
CLIPS = (f"{LIVES[0]}-1000-2000", f"{LIVES[0]}-3000-4000", f"{LIVES[1]}-1000-2000")


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (sum(path.name.encode()) % 256, 80, 160)).save(path)


def write_video(path: Path, content: bytes = MP4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def product1m_line(page: str, *labels: str) -> str:
    address = f"http://x.example/images/{page}.jpg"
    return "#####".join([page, f"title of {page}", f"http://y.example/{page}_.jpg", address, "#;#".join(labels)])


def write_product1m(folder: Path) -> Path:
    """Two queries, four gallery pages and two pages of training; `q2` shows a cup and a pot."""
    parts = {
        "train": [product1m_line("t1", "jug"), product1m_line("t2", "jug")],
        "dev": [product1m_line("q1", "cup")],
        "test": [product1m_line("q2", "pot", "cup", "pot")],
        "gallery": [product1m_line(f"g{i}", label) for i, label in enumerate(("cup", "cup", "pot", "pan"))],
    }
    for part, lines in parts.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"product1m_{part}_ossurl_v2.txt").write_text("\n".join(lines) + "\n", "utf-8")
        for line in lines:
            write_image(folder / "images" / f"{line.split('#####')[0]}.jpg")
    return folder


def write_m5product(folder: Path) -> Path:
    """Three items a split, the first two of which have a video."""
    for split in ("train", "test"):
        items = {f"{split}{i}": {"title": f"title {i}", "label": "cups", "pv": []} for i in range(3)}
        for i, item in enumerate(items):
            write_image(folder / "images" / f"{item}.jpg")
            if i < 2:
                write_video(folder / "videos" / f"{item}.mp4")
        (folder / f"subset_{split}_id_label.json").write_text(json.dumps(items), "utf-8")
    return folder


def write_lpr4m(folder: Path) -> Path:
    """Two streams with shops of three and two images, of which one image is in both; and two clips of training."""
    folder.mkdir(parents=True, exist_ok=True)
    galleries = {LIVES[0]: ["i1", "i2", "i3"], LIVES[1]: ["i1", "i4"]}
    answers = {CLIPS[0]: ["i1", "i2"], CLIPS[1]: ["i3"], CLIPS[2]: ["i4"]}
    frames = [f"{clip}-{frame:04d}" for clip in CLIPS for frame in (3, 1)]
    training = [
        f"{clip}\t['{clip}-0002']\t[[0, 0, 1, 1]]\ti9\ta mug\t7\tkitchen\tlook at this mug\ts\td\t"
        for clip in TRAINING_CLIPS
    ]
    (folder / "test_liveid_to_gallery_2.json").write_text(json.dumps(galleries))
    (folder / "test_videoid_to_gtimage_3.json").write_text(json.dumps(answers))
    addresses = [f"https://x.example/a/{frame}.jpg" for frame in frames]
    (folder / "test_frame_url_6.txt").write_text("\n".join(addresses) + "\n")
    (folder / "test_videoid_asr_3.txt").write_text(f"{CLIPS[0]}\tlook here\n{CLIPS[1]}\t\n")
    (folder / "test_image_title_4.txt").write_text("i1\ta cup\ni4\ta pan\n")
    (folder / "training_videoinfo_full_part_00.txt").write_text("\n".join(training) + "\n")
    names = [*frames, *(f"{clip}-0002" for clip in TRAINING_CLIPS), "i1", "i2", "i3", "i4", "i9"]
    for name in names:
        write_image(folder / "images" / f"{name}.jpg")
    return folder


def write_movingfashion(folder: Path) -> Path:
    """Two garments a split; the first of each has two videos."""
    for split in ("train", "test"):
        entries = {}
        for i in range(2):
            key = f"{split}{i}"
            videos = [f"videos/{key}_{j}.mp4" for j in range(2 - i)]
            entries[key] = {"img_path": f"imgs/{key}.jpg", "video_paths": videos, "source": i}
            write_image(folder / "imgs" / f"{key}.jpg")
            for video in videos:
                write_video(folder / video)
        (folder / f"{split}.json").write_text(json.dumps(entries))
    return folder


def write_folder(folder: Path) -> Path:
    """Two cups: pages, a video file, a folder of frames, and a live clip."""
    rows = [
        "domain,sample_id,product_id,text,split",
        'page,p1,red-cup,"a red cup, 0.3 l",validation',
        "page,p2,blue-cup,a blue cup,validation",
        "video,v1,red-cup,,validation",
        "video,v2,blue-cup,see this cup,validation",
        "live,l1,red-cup,,validation",
        "page,p3,jug,a jug,train",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.csv").write_text("\n".join(rows) + "\n", "utf-8")
    frames = ("videos/v2/a10.jpg", "videos/v2/a9.jpg")
    for name in ("pages/p1.jpg", "pages/p2.png", "pages/p3.jpg", "lives/l1.jpg", *frames):
        write_image(folder / name)
    write_video(folder / "videos" / "v1.mp4")
    return folder


WRITERS = {
    "product1m": write_product1m,
    "m5product": write_m5product,
    "lpr4m": write_lpr4m,
    "movingfashion": write_movingfashion,
    "folder": write_folder,
}
