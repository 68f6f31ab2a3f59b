"""Which frames stand for a clip."""

__all__ = ["choose_frames"]


def choose_frames(n_stored: int, n_frames: int) -> list[int]:
    """Indices of `n_frames` frames spread evenly over `n_stored`: `(2i + 1) * n_stored // (2 * n_frames)`.

    The rule of the published COPE code; frames repeat where there are fewer than requested.

    >>> choose_frames(16, 8)
    [1, 3, 5, 7, 9, 11, 13, 15]
    >>> choose_frames(3, 8)
    [0, 0, 0, 1, 1, 2, 2, 2]

    Raises:
        ValueError: `n_stored` or `n_frames` is below 1.
    """
    if n_stored < 1 or n_frames < 1:
        raise ValueError(f"need at least one stored and one wanted frame, got {n_stored} and {n_frames}")
    return [(2 * i + 1) * n_stored // (2 * n_frames) for i in range(n_frames)]
