"""Settings of part co-segmentation and of dataset clustering."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.config import Config, CosegmentConfig


class PartsConfig(CosegmentConfig):
    """How the common object is found and divided into parts."""

    parts: int | None = Field(default=4, ge=1, le=254)
    """How many parts; --parts-elbow decides where this is not given (parts = null)."""

    parts_elbow: float = Field(default=0.94, gt=0, le=1)
    """Parts are added until another one leaves more than this share of the error."""

    max_parts: int = Field(default=10, ge=1, le=254)
    """Most parts that the elbow may choose."""

    stages: Literal[2, 3] = 2
    """3 where the set also shares other things: what too few images have is dropped, and the
    rest is clustered once more."""

    smallest_part: float = Field(default=0.05, ge=0, lt=1)
    """Parts below this share of the foreground are dissolved into the others."""

    hierarchy: int = Field(default=2, ge=0, le=4)
    """Levels of log-bins: parts are told apart by patches together with their surroundings; 0
    for patches alone."""

    margin: float = Field(default=1.0, ge=0)
    """Parts reach this many patches beyond the mask: landmarks lie on outlines."""

    crops: int = Field(default=0, ge=0)
    """Random 95 % crops and their mirror images of each image that are added to the clustering
    of sets below 20 images; the paper takes 20 to 25. Each costs two passes of the model."""

    codebook: str | None = None
    """A codebook.zarr of an earlier run: its parts are found again, under the same numbers."""

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.pca is not None and (self.crops or self.codebook):
            raise ValueError(
                "with pca, descriptors lie along axes of their store's own; crops and the codebook "
                "of an earlier run have others. Leave out pca, or both of them"
            )
        return self


class ClusterConfig(Config):
    """How all descriptors of a store are clustered."""

    clusters: int | None = Field(default=None, ge=1)
    """How many clusters; by default the elbow decides."""

    max_clusters: int = Field(default=15, ge=1)
    """Most clusters that the elbow may choose."""

    elbow: float = Field(default=0.975, gt=0, le=1)
    """Clusters are added until another one leaves more than this share of the error."""

    steps: int = Field(default=30, ge=1)
    """Most Lloyd steps over the whole store."""

    tolerance: float = Field(default=1e-4, ge=0)
    """Steps end when the error falls by less than this share."""

    hierarchy: int = Field(default=0, ge=0, le=4)
    """Levels of log-bins: a patch is clustered together with its surroundings; 0 for itself
    alone."""

    spherical: bool = True
    """Descriptors and centres of unit length: clusters by angle."""

    seeds: int = Field(default=20_000, ge=1)
    """Descriptors that seeding and the elbow see, evenly spaced over the store."""

    seed: int = 0
    """Of the seeding."""

    label_maps: bool = True
    """Write a label map for every image."""
