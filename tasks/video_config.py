"""Settings of the propagation of masks through a video."""

from typing import Literal

from pydantic import Field

from tasks.config import ExtractConfig
from tasks.ops.kinds import Facet, MaskRefinement, Neighbourhood


class PropagateConfig(ExtractConfig):
    """How masks are carried from frame to frame.

    The default descriptor joins the tokens of layers 4 and 6 (see `also`): in a video the
    appearance of a thing matters more than its kind.
    """

    layer: int = Field(default=6, ge=0)
    """Transformer layer the descriptors come from, counted from 0."""

    facet: Facet = "token"
    """key, query, value, token (after the block) or normed_token (after the final norm)."""

    also: tuple[str, ...] = ("4.token",)
    """Further facets that are joined to the descriptor, each of unit length, e.g. 4.token."""

    stride: int = Field(default=14, ge=1)
    """Step between patches in pixels; must divide the model's patch size."""

    stride_x: int | None = Field(default=7, ge=1)
    """Horizontal step where it differs from the vertical one."""

    passes: Literal["shifted", "strided"] = "shifted"
    """How a stride below the patch is reached: shifted (several passes, linear cost) or strided
    (one pass with more tokens)."""

    store: str | None = None
    """A store of the frames' descriptors, from `patchflow extract FRAMES STORE`: they are read,
    not computed, and its model, layer, facets, stride and size hold."""

    size: int = Field(default=480, ge=1)
    """Side in pixels that frames are resized to; see fit."""

    channels: int | None = Field(default=128, ge=1)
    """Principal axes of the first frame that descriptors are compared along; none: all."""

    recent: int = Field(default=14, ge=1)
    """Latest frames whose labels are carried on, beside (up to eight) with a given mask."""

    radius: int = Field(default=12, ge=0)
    """How far a patch looks around its own place, in patches."""

    neighbourhood: Neighbourhood = "square"
    """Shape of that surrounding: square or circle."""

    top_k: int = Field(default=5, ge=1)
    """Patches, over all context frames, whose labels a patch takes."""

    temperature: float = Field(default=0.1, gt=0)
    """Of the softmax that weighs them: smaller trusts the most similar more."""

    labels: Literal["tiles", "patch"] = "tiles"
    """tiles: a patch carries a picture of its labels, masks keep their area; patch: one label a
    patch, stretched to [0, 1] over the frame (DINO's protocol)."""

    refinement: MaskRefinement = "colour"
    """How masks are fitted to the frame's edges: colour or none."""

    objects: int = Field(default=1, ge=1, le=254)
    """Where no mask is given: most objects that are told apart, if they do not touch."""

    checkpoint: int = Field(default=25, ge=1)
    """Frames after which the state is saved, so that a long video can go on where it stopped."""

    pictures: bool = True
    """Leave overlay.mp4 and pictures for the report."""

    @property
    def fields_of_execution(self) -> frozenset[str]:
        """Fields that do not change what is computed."""
        return frozenset({"checkpoint", "pictures"})
