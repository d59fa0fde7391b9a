"""The Triton programs of `gpu_bins.py`, which imports them when a GPU first needs them."""

import triton
import triton.language as tl


@triton.jit
def pool_around(maps, out, rows, cols, channels, half: tl.constexpr, block: tl.constexpr):
    """Mean of the patches around one, where they lie inside the grid; a program a patch."""
    patch = tl.program_id(0).to(tl.int64)
    col = patch % cols
    row = patch // cols % rows
    dims = tl.arange(0, block)
    used = dims < channels
    total = tl.zeros([block], tl.float32)
    count = 0
    for down in tl.range(-half, half + 1):
        for right in tl.range(-half, half + 1):
            inside = (
                (row + down >= 0) & (row + down < rows) & (col + right >= 0) & (col + right < cols)
            )
            near = maps + (patch + down * cols + right) * channels + dims
            total += tl.load(near, mask=used & inside, other=0.0).to(tl.float32)
            count += inside.to(tl.int32)
    tl.store(out + patch * channels + dims, total / count, mask=used)


@triton.jit
def spread_neighbours(
    level,
    out,
    rows,
    cols,
    channels,
    width,
    offset,
    step,
    centre: tl.constexpr,
    block: tl.constexpr,
):
    """The eight or nine patches `step` away from one, side by side, the rim clamped."""
    patch = tl.program_id(0).to(tl.int64)
    col = patch % cols
    row = patch // cols % rows
    image = patch - row * cols - col
    dims = tl.arange(0, block)
    used = dims < channels
    to = out + patch * width + offset + dims
    for number in tl.static_range(9):
        if centre or number != 4:
            near_row = tl.minimum(tl.maximum(row + (number // 3 - 1) * step, 0), rows - 1)
            near_col = tl.minimum(tl.maximum(col + (number % 3 - 1) * step, 0), cols - 1)
            near = level + (image + near_row * cols + near_col) * channels + dims
            values = tl.load(near, mask=used, other=0.0)
            tl.store(to, values.to(out.dtype.element_ty), mask=used)
            to += channels
