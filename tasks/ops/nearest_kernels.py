"""The Triton program of `label_propagation.py`, which imports it when a GPU first needs it."""

import triton
import triton.language as tl


@triton.jit
def nearest_in_windows(
    query,
    context,
    best_out,
    places_out,
    rows,
    cols,
    channels,
    frames,
    reach_down,
    reach_right,
    circle: tl.constexpr,
    kept: tl.constexpr,
    padded: tl.constexpr,
    tile: tl.constexpr,
    step: tl.constexpr,
    depth: tl.constexpr,
):
    """The `kept` most similar patches of a tile's patches, among some of the context frames.

    One program for a tile of `tile` x `tile` queries (first axis of the grid, row by row) and
    every n-th frame (second axis, n programs). query: (rows, cols, channels), context: (frames,
    rows, cols, channels). It goes through the tile's surroundings `step` patches at a time,
    masks what lies out of a query's own window, and exchanges the smallest of the `padded` kept
    ones (those beyond `kept` are never touched) while any row has a larger candidate.
    """
    across = tl.cdiv(cols, tile)
    top = (tl.program_id(0) // across) * tile
    left = (tl.program_id(0) % across) * tile
    member = tl.arange(0, tile * tile)
    row, col = top + member // tile, left + member % tile
    real = (row < rows) & (col < cols)
    first_row, first_col = tl.maximum(top - reach_down, 0), tl.maximum(left - reach_right, 0)
    height = tl.minimum(top + tile + reach_down, rows) - first_row
    width = tl.minimum(left + tile + reach_right, cols) - first_col

    slots = tl.arange(0, padded)
    best = tl.where(slots < kept, -float("inf"), float("inf"))[None, :]
    best = best + tl.zeros((tile * tile, padded), tl.float32)
    places = tl.zeros((tile * tile, padded), tl.int32)
    for frame in range(tl.program_id(1), frames, tl.num_programs(1)):
        for start in range(0, height * width, step):
            number = start + tl.arange(0, step)
            their_row, their_col = first_row + number // width, first_col + number % width
            inside = number < height * width
            theirs = their_row * cols + their_col
            cosines = tl.zeros((tile * tile, step), tl.float32)
            for channel in range(0, channels, depth):
                part = channel + tl.arange(0, depth)
                held = part < channels
                q = tl.load(
                    query + (row * cols + col)[:, None] * channels + part[None, :],
                    mask=real[:, None] & held[None, :],
                    other=0.0,
                )
                k = tl.load(
                    context
                    + (frame * rows * cols + theirs).to(tl.int64)[None, :] * channels
                    + part[:, None],
                    mask=inside[None, :] & held[:, None],
                    other=0.0,
                )
                cosines = tl.dot(q, k, cosines)
            down = tl.abs(row[:, None] - their_row[None, :])
            right = tl.abs(col[:, None] - their_col[None, :])
            seen = inside[None, :] & real[:, None] & (down <= reach_down) & (right <= reach_right)
            if circle:
                sides = down * reach_right * (down * reach_right)
                sides += right * reach_down * (right * reach_down)
                limit = reach_down * reach_right
                seen = seen & (sides <= limit * limit)
            cosines = tl.where(seen, cosines, -float("inf"))
            high, at = tl.max(cosines, 1, return_indices=True)
            low, slot = tl.min(best, 1, return_indices=True)
            while tl.max((high > low).to(tl.int32), 0) > 0:
                chosen = start + at
                place = (first_row + chosen // width) * cols + first_col + chosen % width
                put = (slots[None, :] == slot[:, None]) & (high > low)[:, None]
                best = tl.where(put, high[:, None], best)
                places = tl.where(put, (frame * rows * cols + place)[:, None], places)
                taken = tl.arange(0, step)[None, :] == at[:, None]
                cosines = tl.where(taken, -float("inf"), cosines)
                high, at = tl.max(cosines, 1, return_indices=True)
                low, slot = tl.min(best, 1, return_indices=True)

    line = (row * cols + col)[:, None] * tl.num_programs(1) + tl.program_id(1)
    where = line * kept + slots[None, :]
    written = real[:, None] & (slots < kept)[None, :]
    tl.store(best_out + where, best, mask=written)
    tl.store(places_out + where, places, mask=written)
