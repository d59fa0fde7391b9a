"""What the discovery of a block leaves, and how it is kept."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from storage.files import join
from storage.results import read_json, write_json
from tasks.discover_config import DiscoverConfig
from tasks.ops.objectness import Objectness
from tasks.report_records import ImageRecord


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object. xyxy: its box in original pixels. counts: its mask in COCO's run lengths.
    descriptor: what it is grouped by, (D,) float16 as base64; empty where nothing is grouped.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    counts: str
    descriptor: str = ""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image and its objects, best first. reason: why there is none, or what is doubtful."""

    name: str
    width: int
    height: int
    objects: tuple[FoundObject, ...]
    reason: str | None = None
    record: ImageRecord | None = None


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """What became of one block. missing: images that could not be read, with the reason."""

    images: tuple[FoundImage, ...]
    missing: tuple[tuple[str, str], ...]
    seconds: float


def read_blocks(folders: Iterable[str]) -> list[FoundBlock]:
    """All blocks that `discover_block` left, in the order of their images."""
    reports = (read_json(join(folder, "result.json"))["report"] for folder in sorted(folders))
    return [TypeAdapter(FoundBlock).validate_python(report) for report in reports]


def pack_descriptor(descriptor: np.ndarray) -> str:
    """(D,) to the text of `FoundObject.descriptor`."""
    return base64.b64encode(descriptor.astype(np.float16).tobytes()).decode()


def unpack_descriptor(text: str) -> np.ndarray:
    """(D,) float32 of `FoundObject.descriptor`."""
    return np.frombuffer(base64.b64decode(text), dtype=np.float16).astype(np.float32)


def write_objectness(url: str, learned: Objectness | None, config: DiscoverConfig) -> str:
    """Write what was learned and from which descriptors, null for nothing; return the URL."""
    content = objectness_content(learned)
    return write_json(url, content and content | {"descriptors": _descriptors(config)})


def objectness_content(learned: Objectness | None) -> dict[str, object] | None:
    """What was learned, as plain JSON."""
    if learned is None:
        return None
    return {
        "direction": [float(v) for v in learned.direction],
        "background": learned.background,
        "object": learned.object,
        "separation": learned.separation,
        "share": learned.share,
        "rounds": learned.rounds,
        "changed": learned.changed,
    }


def read_objectness(url: str, config: DiscoverConfig) -> Objectness | None:
    """What `write_objectness` wrote.

    Raises:
        ValueError: another kind of file, or one learned from other descriptors than `config`'s.
    """
    content = read_json(url)
    if content is None:
        return None
    try:
        made = content.pop("descriptors", None)
        direction = np.array(content["direction"], dtype=np.float32)
        learned = Objectness(**content | {"direction": direction})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{url} is no objectness.json of `patchflow discover` ({error}); leave --learned out"
        ) from error
    ours = _descriptors(config)
    if made not in (None, ours):  # None: of a version that did not note it
        raise ValueError(
            f"{url} was learned from other descriptors: {made}, not {ours}; use its settings, or "
            "leave --learned out"
        )
    return learned


def _descriptors(config: DiscoverConfig) -> dict[str, str | bool]:
    return {
        "model": config.model,
        "weights": config.resolved_weights,
        "facet": f"{config.layer}.{config.facet}",
        "attended": config.attended,
    }
