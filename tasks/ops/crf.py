"""A fully connected CRF with the two Gaussian kernels, by mean-field inference.

Krähenbühl & Koltun 2011. The bilateral kernel's reach in space is a few pixels here, so the
sum over all pairs is a sum over a small window, exact up to the window's edge: no
permutohedral lattice, no package that needs a compiler.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = 3.0  # windows end at this many sigmas: exp(-4.5) is 0.011


def dense_crf(
    image: np.ndarray,
    energy: np.ndarray,
    *,
    smooth_sigma: float = 3.0,
    smooth_weight: float = 50.0,
    bilateral_sigma: float = 5.0,
    colour_sigma: float = 13.0,
    bilateral_weight: float = 15.0,
    iterations: int = 10,
) -> np.ndarray:
    """Probabilities of labels after mean-field inference; defaults are those of Amir et al. 2021.

    Q_i(l) ~ exp(-energy_i(l) + sum_m w_m sum_j k_m(i, j) Q_j(l)), with the kernels
    k_1 = exp(-|p_i - p_j|^2 / 2 smooth^2) and
    k_2 = exp(-|p_i - p_j|^2 / 2 bilateral^2 - |c_i - c_j|^2 / 2 colour^2), each normalised
    symmetrically: k(i, j) / sqrt(sum_j k(i, j) sum_i k(i, j)).

    Args:
        image: (H, W, 3) uint8.
        energy: (L, H, W) float, the unary costs of L labels; lower is likelier.
        smooth_sigma, bilateral_sigma: pixels. colour_sigma: grey levels.

    Returns:
        (L, H, W) float32, sums to 1 over labels.

    Raises:
        ValueError: image and energy of different sizes.
    """
    if image.shape[:2] != energy.shape[1:]:
        raise ValueError(
            f"image and energy must be of one size; got {image.shape[:2]} and {energy.shape[1:]}"
        )
    unary = -torch.from_numpy(np.asarray(energy, dtype=np.float32))
    smooth = _Smooth(image.shape[:2], smooth_sigma)
    bilateral = _Bilateral(image, bilateral_sigma, colour_sigma)
    probability = unary.softmax(dim=0)
    for _ in range(iterations):
        message = smooth_weight * smooth(probability) + bilateral_weight * bilateral(probability)
        probability = (unary + message).softmax(dim=0)
    return np.asarray(probability.numpy())


class _Smooth:
    """The spatial kernel: separable."""

    def __init__(self, size: tuple[int, int], sigma: float) -> None:
        radius = int(np.ceil(_REACH * sigma))
        steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
        self.kernel = torch.exp(-(steps**2) / (2 * sigma**2))
        self.norm = self._filter(torch.ones(1, *size)).rsqrt()

    def __call__(self, values: Tensor) -> Tensor:
        return self.norm * self._filter(self.norm * values)

    def _filter(self, values: Tensor) -> Tensor:
        radius = len(self.kernel) // 2
        rows = F.conv2d(values[:, None], self.kernel[None, None, :, None], padding=(radius, 0))
        return F.conv2d(rows, self.kernel[None, None, None, :], padding=(0, radius))[:, 0]


class _Bilateral:
    """The kernel over position and colour: one weight for each pixel and shift of a half window.

    k(i, j) = k(j, i), so the other half of the window is the same weights read backwards.
    """

    def __init__(self, image: np.ndarray, sigma: float, colour_sigma: float) -> None:
        colour = torch.from_numpy(np.moveaxis(image, 2, 0).astype(np.float32)) / colour_sigma
        radius = int(np.ceil(_REACH * sigma))
        height, width = image.shape[:2]
        self.pairs: list[tuple[Tensor, _Slices, _Slices]] = []
        for down in range(min(radius, height - 1) + 1):
            for right in range(-radius, radius + 1):
                if (down == 0 and right <= 0) or abs(right) >= width:
                    continue
                if down**2 + right**2 > radius**2:
                    continue
                here, there = _overlap(height, width, down, right)
                apart = ((colour[:, *here] - colour[:, *there]) ** 2).sum(dim=0)
                near = (down**2 + right**2) / sigma**2
                self.pairs.append((torch.exp(-(apart + near) / 2), here, there))
        self.norm = self._filter(torch.ones(1, height, width)).rsqrt()

    def __call__(self, values: Tensor) -> Tensor:
        return self.norm * self._filter(self.norm * values)

    def _filter(self, values: Tensor) -> Tensor:
        total = values.clone()  # k(i, i) = 1
        for weight, here, there in self.pairs:
            total[:, *here].addcmul_(weight[None], values[:, *there])
            total[:, *there].addcmul_(weight[None], values[:, *here])
        return total


_Slices = tuple[slice, slice]


def _overlap(height: int, width: int, down: int, right: int) -> tuple[_Slices, _Slices]:
    """Pixels that have a partner `down` rows below and `right` columns beside, and the partners."""
    rows = slice(0, height - down), slice(down, height)
    if right >= 0:
        cols = slice(0, width - right), slice(right, width)
    else:
        cols = slice(-right, width), slice(0, width + right)
    return (rows[0], cols[0]), (rows[1], cols[1])
