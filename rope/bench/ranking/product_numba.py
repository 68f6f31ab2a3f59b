"""Products of 16-bit whole numbers, compiled with numba; importing this without it raises ImportError.

Processors with AVX-512 VNNI multiply 32 pairs of such numbers and add them to 16 sums in one instruction: a quarter of
the time that OpenBLAS takes for float32. The tiles of sums that stay in registers are `vectors_numba.add_tile`.

Sums are exact; what a similarity is off by is the rounding of its vectors, which `largest_rounding` measures.
"""

from typing import Final

import numpy as np
from llvmlite.binding import get_host_cpu_features

from rope.bench.ranking.blocks import PADDING
from rope.bench.ranking.vectors_numba import SIDE, TILE_ROWS, add_tile, compiled, transpose_tile

__all__ = ["IS_FAST", "largest", "largest_rounding", "packed", "product", "rounded"]

IS_FAST: Final = bool(get_host_cpu_features().get("avx512vnni", False))
"""Whether this processor has the instruction."""

CHUNK: Final = 64
"""Dimensions whose products are added up in 32 bits; the sums of all chunks are shifted before they are added."""


@compiled()
def largest(raw, inverse_norms):
    """The largest magnitude of an entry of a unit vector, and the largest length of a chunk of one, within 10^-5."""
    entry, length = np.float32(0), np.float32(0)
    for row in range(len(raw)):
        inverse = np.float32(inverse_norms[row])
        for start in range(0, raw.shape[1], CHUNK):
            total = np.float32(0)
            for value in raw[row, start : start + CHUNK]:
                unit = value * inverse
                entry = max(entry, abs(unit))
                total += unit * unit
            length = max(length, total)
    return entry, np.sqrt(length)


@compiled()
def rounded(raw, inverse_norms, scale, width):
    """Unit vectors times `scale` in whole numbers: int16 [padded n, width], filled up with zeros."""
    result = np.empty((-(-len(raw) // PADDING) * PADDING, width), np.int16)
    for row in range(len(raw)):
        factor = np.float32(inverse_norms[row] * scale)
        for i in range(raw.shape[1]):
            result[row, i] = np.int16(np.rint(raw[row, i] * factor))
        result[row, raw.shape[1] :] = 0
    result[len(raw) :] = 0
    return result


@compiled(fastmath={"reassoc", "nsz", "nnan"})
def largest_rounding(raw, inverse_norms, scale):
    """The largest distance of a row of `rounded` from the unit vector times `scale`."""
    worst = 0.0
    for row in range(len(raw)):
        exact = inverse_norms[row] * scale
        factor, total = np.float32(exact), 0.0
        for i in range(raw.shape[1]):
            off = raw[row, i] * exact - np.float64(np.rint(raw[row, i] * factor))
            total += off * off
        worst = max(worst, total)
    return np.sqrt(worst)


@compiled()
def packed(rows):
    """Rows as the columns of tiles: int32 [tiles, pairs of dimensions, `PADDING`]."""
    pairs = rows.view(np.int32)
    tiles = np.empty((len(pairs) // PADDING, pairs.shape[1], PADDING), np.int32)
    for tile in range(len(tiles)):
        of_tile = pairs[tile * PADDING : (tile + 1) * PADDING]
        for row in range(0, PADDING, SIDE):
            for pair in range(0, pairs.shape[1], SIDE):
                transpose_tile(of_tile, row, pair, tiles[tile])
    return tiles


@compiled()
def product(rows, tiles, shift, factor, block):
    """Fill a block, int16 [n, m], with the products of rows and columns, scaled, rounded and kept within ±32,767.

    Args:
        rows: int16 [padded n, dim], see `rounded`; dim is a multiple of `CHUNK`.
        tiles: int32, see `packed`.
        shift: bits by which the sum of each chunk is shifted.
        factor: float32; what sums are then multiplied by.
        block: m is the width of all tiles.
    """
    sums = np.empty((TILE_ROWS, PADDING), np.int32)
    for tile in range(len(tiles)):
        for start in range(0, len(block), TILE_ROWS):
            top = min(start, len(rows) - TILE_ROWS)  # the last tile of rows may overlap the one before
            sums[:] = 0
            for first in range(0, rows.shape[1], CHUNK):
                columns = tiles[tile, first // 2 : (first + CHUNK) // 2]
                add_tile(rows[top : top + TILE_ROWS, first : first + CHUNK], columns, shift, sums)
            for row in range(min(TILE_ROWS, len(block) - top)):
                for column in range(PADDING):
                    value = np.int32(np.rint(np.float32(sums[row, column]) * factor))
                    block[top + row, tile * PADDING + column] = max(min(value, 32767), -32767)
