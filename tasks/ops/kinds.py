"""The names of things that settings choose between; imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal, get_args

Facet = Literal["key", "query", "value", "token", "normed_token"]
FACETS: tuple[Facet, ...] = get_args(Facet)

Fit = Literal["short", "long", "square", "pad", "native"]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]
PositionResize = Literal["timm", "dinov2", "dino"]
Refinement = Literal["grabcut", "crf", "none"]
MaskRefinement = Literal["colour", "none"]
Neighbourhood = Literal["square", "circle"]
NEIGHBOURHOODS: tuple[Neighbourhood, ...] = get_args(Neighbourhood)
VoteRule = Literal["consensus", "relative", "votes"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, order=True)
class FacetRequest:
    """One facet of one layer. layer: counted from 0."""

    layer: int
    facet: Facet
