"""Pure functions of arrays: no files, no Prefect, no Dask, no clocks.

Notation, the same in every docstring of this package:

===========  ======================================================================
B            images of a batch
rows, cols   the patch grid; N = rows x cols patches, row by row
D            channels of a descriptor (all heads of an attention layer concatenated)
h            attention heads
K            clusters, M log-bins, T frames, P points or pairs
===========  ======================================================================

Frames of coordinates: grids are ``(row, col)``, integers or, where said, fractional with
patch (0, 0) centred on 0.0; pixels are ``(x, y)`` in the ORIGINAL image, continuous, the
centre of the top-left pixel at (0.5, 0.5) unless said otherwise. Masks are (H, W) bool.
Boxes are named ``xyxy``: left, top, right, bottom, the last two exclusive.
Descriptors are stored raw; whoever needs cosines normalises (``patch_grid.unit``).
"""
