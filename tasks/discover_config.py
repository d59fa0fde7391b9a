"""Settings of object discovery."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.config import ExtractConfig
from tasks.ops.kinds import Facet

Method = Literal["objectness", "token_cut", "mask_cut", "lost", "deep_spectral", "saliency"]


class DiscoverConfig(ExtractConfig):
    """How objects are found without labels."""

    layer: int = Field(default=11, ge=0)
    """Transformer layer the descriptors come from, counted from 0."""

    facet: Facet = "key"
    """key, query, value, token (after the block) or normed_token (after the final norm)."""

    auto_layer: bool = False
    """Choose layer and facet, whatever they are set to, by a rule on a few of the images: cuts
    that agree with the model's saliency and are stable. OUT/layer_choice.json keeps them."""

    stride: int = Field(default=14, ge=1)
    """Step between patches in pixels; must divide the model's patch size."""

    size: int = Field(default=448, ge=1)
    """Side in pixels that images are resized to; see fit."""

    method: Method = "objectness"
    """objectness (what sets objects apart, learned from the images themselves), token_cut,
    mask_cut (several objects), lost, deep_spectral, or saliency."""

    objects: int = Field(default=1, ge=1)
    """Most objects of an image, for objectness, mask_cut and saliency."""

    threshold: float = Field(default=0.6, gt=0, lt=1)
    """Method objectness: an object's patches lie above it; 0 is the mean of backgrounds, 1 that
    of objects."""

    sample_images: int = Field(default=500, ge=1)
    """Method objectness: images it is learned from at most, evenly chosen."""

    learned: str | None = None
    """Method objectness: objectness.json of an earlier run to use instead of learning."""

    tau: float | None = Field(default=None, ge=-1, le=1)
    """Methods token_cut and mask_cut: cosine from which patches are joined; by default the mean
    cosine of the image, which suits any model and layer."""

    by_saliency: bool = True
    """Method token_cut: the more salient side is the object (the paper: the side that holds the
    eigenvector's largest value)."""

    neighbours: int = Field(default=100, ge=1)
    """Method lost: least connected patches that can grow the seed."""

    center: bool = True
    """Methods lost and deep_spectral: subtract the image's mean descriptor, without which both
    fail on models whose descriptors all point one way, as DINOv2's do."""

    color_weight: float = Field(default=10.0, ge=0)
    """Method deep_spectral: how much likeness of colour counts beside that of descriptors; 0
    leaves colours out."""

    max_groups: int = Field(default=20, ge=0)
    """Most groups that the found objects are sorted into; 0 leaves them unsorted."""

    group_by: Literal["cls", "patches"] = "cls"
    """What found objects are compared by: cls (the CLS token of the object's crop, which goes
    through the model once more) or patches (the mean of its patches)."""

    block: int = Field(default=64, ge=1)
    """Images that one task works on; of more than 3,200 images a multiple of it."""

    pictures: bool = True
    """Leave pictures for the report."""

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.pca is not None and self.learned:
            raise ValueError(
                "with pca, descriptors lie along axes of their store's own, which what an earlier "
                "run learned does not know. Leave out pca or learned"
            )
        return self
