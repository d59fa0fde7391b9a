"""Settings of matching: correspondences, keypoint transfer, search."""

from typing import Literal

from pydantic import Field

from tasks.config import ExtractConfig
from tasks.ops.kinds import Facet, Fit

MOST_PAIRS = 1024


class MatchConfig(ExtractConfig):
    """How two images are compared, and points of one are found in the other.

    The default joins facets of two layers and leans towards the affine map that most mutual
    neighbours agree on.
    """

    layer: int = Field(default=9, ge=0)
    """Transformer layer the descriptors come from, counted from 0."""

    facet: Facet = "value"
    """key, query, value, token (after the block) or normed_token (after the final norm)."""

    also: tuple[str, ...] = ("7.token",)
    """Further facets that are joined to the descriptor, each of unit length, e.g. 7.token."""

    fit: Fit = "square"
    """short or long (that side becomes size, ratio kept), square (ratio lost), pad (long side
    becomes size, padded to a square) or native (no resizing)."""

    hierarchy: int = Field(default=2, ge=0, le=4)
    """Levels of the log-bins that take a patch's surroundings in; 0 compares single patches."""

    align: bool = True
    """Lean towards the affine map that most mutual nearest neighbours agree on."""

    strength: float = Field(default=0.2, ge=0)
    """The most that a cosine loses for lying far from where the affine map puts the point."""

    reach: float = Field(default=0.2, gt=0)
    """Distance from there at which it loses that, as a share of the grid's longer side."""

    tolerance: float = Field(default=0.1, gt=0)
    """How far from an affine map matches may lie to count for it, as a share of the grid's
    longer side."""

    bend: float = Field(default=0.2, gt=0)
    """Width of the neighbourhood whose matches bend the affine map, as a share of the source
    grid's longer side."""

    hubness: float = Field(default=0.5, ge=0, le=1)
    """Share of a target patch's best cosine with any source patch that its cosines lose: patches
    that resemble everything attract less."""

    mirror: bool = True
    """Also try the source mirrored, and take the way round that more matches agree on."""

    window: int = Field(default=3, ge=0)
    """Patches on each side of the best one that its position between patches is found from."""

    temperature: float = Field(default=0.035, gt=0)
    """Of the softmax over cosines there; smaller follows the best patch more closely."""

    seed: int = 0
    """Of the alignment and of k-means."""

    block: int = Field(default=64, ge=1)
    """Pairs of images in one task."""


class CorrespondConfig(MatchConfig):
    """How a few good, well-spread correspondences are chosen."""

    pairs: int = Field(default=10, ge=1, le=MOST_PAIRS)
    """Correspondences wanted of a pair of images."""

    threshold: float = Field(default=0.05, ge=0, le=1)
    """Both patches of a correspondence must be more salient than this."""

    flow: Literal["foreground", "image", "none"] = "none"
    """Dense flow as well: flow.flo, in Middlebury's format, and warped.png, the target as seen
    from the source; of the foreground (salient pixels), of the whole image, or none."""

    pictures: bool = True
    """Draw every pair, and leave its pictures for the report."""
