"""Check the frames of samples row by row, and sum up what is wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rope.dataset.manifest import Media
from rope.domain import Audio, DomainName, Frame, Video, may_be_text_alone
from rope.errors import DatasetError
from rope.media import decode_frame, decode_video
from rope.media.audio import iter_audio
from rope.media.containers import is_sound, is_video
from rope.media.images import read_header

__all__ = ["FrameCheck"]

_N_EXAMPLES: Final = 5
_N_DECODED: Final = 8
"""Frames of a video that are decoded: as many as are taken for training."""

_RATE: Final = 16_000
"""Samples a second at which sounds are decoded."""


@dataclass
class FrameCheck:
    """Looks at the media of rows of one domain and remembers how many have each fault, and the first few.

    Attributes:
        domain: the domain of the rows.
        media: whether frames must hold bytes, or paths.
        decode: decode images and sounds to their end, and frames of videos as for training; not headers alone.
    """

    domain: DomainName
    media: Media
    decode: bool
    _counts: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, list[str]] = field(default_factory=dict)

    def see(self, row: dict[str, Any]) -> None:
        """Check one row: `sample_id`, `text`, `frames`, `frame_times` and, where there are, `video` and `audio`."""
        frames, times, video = row["frames"] or [], row["frame_times"] or [], row.get("video")
        if video is not None:
            self._see_video(row["sample_id"], video, has_frames=bool(frames))
        elif not frames and not (may_be_text_alone(self.domain) and row["text"]):
            self._note("samples have no frames", row["sample_id"])
        if row.get("audio") is not None:
            self._see_audio(row["sample_id"], row["audio"], has_video=video is not None)
        if self.domain == "page" and len(frames) > 1:
            self._note("pages have more than one frame", row["sample_id"])
        if len(times) != len(frames):
            self._note("samples have other numbers of frames and frame_times", row["sample_id"])
        if None in times or times != sorted(times):
            self._note("samples have frame_times that do not ascend", row["sample_id"])
        for index, stored in enumerate(frames):
            fault = self._fault_of(stored or {})
            if fault is not None:
                self._note("images cannot be read", f"{row['sample_id']} frame {index} ({fault})")

    def _see_video(self, sample_id: str, stored: dict[str, Any], *, has_frames: bool) -> None:
        if has_frames:
            self._note("samples have frames beside a video file", sample_id)
        fault = self._fault_of_file(stored, is_video, _decode_video)
        if fault is not None:
            self._note("videos cannot be read", f"{sample_id} ({fault})")

    def _see_audio(self, sample_id: str, stored: dict[str, Any], *, has_video: bool) -> None:
        if has_video:
            self._note("samples have a sound file beside a video file", sample_id)
        fault = self._fault_of_file(stored, is_sound, _decode_sound)
        if fault is not None:
            self._note("sounds cannot be read", f"{sample_id} ({fault})")

    def _fault_of_file(
        self, stored: dict[str, Any], is_known: Callable[[bytes], bool], decode: Callable[[dict[str, Any]], None]
    ) -> str | None:
        data, path = stored.get("bytes"), stored.get("path")
        if self.media == "embed" and (data is None or not is_known(data)):
            return "no bytes" if data is None else "no known format"
        if self.media == "reference" and (path is None or not _begins_as(Path(path), is_known)):
            return path or "no path"
        try:
            if self.decode:
                decode(stored)
        except DatasetError as error:
            return str(error)
        return None

    def findings(self) -> list[str]:
        """A sentence for each fault that was seen: how many rows have it, and the first few."""
        return [
            f"{count:,} {fault}: {', '.join(self._examples[fault])}{', …' if count > _N_EXAMPLES else ''}"
            for fault, count in sorted(self._counts.items())
        ]

    def _note(self, fault: str, example: str) -> None:
        self._counts[fault] = self._counts.get(fault, 0) + 1
        examples = self._examples.setdefault(fault, [])
        if len(examples) < _N_EXAMPLES:
            examples.append(str(example))

    def _fault_of(self, stored: dict[str, Any]) -> str | None:
        data, path = stored.get("bytes"), stored.get("path")
        if self.media == "embed" and data is None:
            return "no bytes"
        if self.media == "reference" and path is None:
            return "no path"
        frame = Frame(data, path)
        try:
            if self.decode:
                decode_frame(frame)
            else:
                read_header(frame)
        except DatasetError as error:
            return str(error)
        return None


def _begins_as(path: Path, is_known: Callable[[bytes], bool]) -> bool:
    try:
        with path.open("rb") as file:
            return is_known(file.read(16))
    except OSError:
        return False


def _decode_video(stored: dict[str, Any]) -> None:
    decode_video(Video(stored["bytes"], stored["path"]), _N_DECODED)


def _decode_sound(stored: dict[str, Any]) -> None:
    for _ in iter_audio(Audio(stored["bytes"], stored["path"]), _RATE, _RATE):
        pass
