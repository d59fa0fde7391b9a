"""How many task runs a flow makes: where there are very many small jobs, a task does several.

A Prefect server takes in about 30 task runs a second, and nobody reads a list of 10,000.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from storage.errors import is_storage_fault
from tasks.sets import ImageSet

T = TypeVar("T")
R = TypeVar("R")

# Bundles grow so that a flow makes at most about twice this many task runs, or until they hold
# LARGEST images or more.
_MANY = 50
LARGEST = 2000


@dataclass(frozen=True, slots=True)
class Bundle:
    """Neighbouring sets that one task does."""

    sets: tuple[ImageSet, ...]

    @property
    def images(self) -> int:
        """Images in all of them."""
        return sum(len(each.images) for each in self.sets)

    @property
    def name(self) -> str:
        """Of the task run."""
        first, last = self.sets[0].name, self.sets[-1].name
        which = first if first == last else f"{first} to {last}, {len(self.sets)} sets"
        return f"{which}, {self.images} images"


def bundle_size(images: int, wanted: int = 1) -> int:
    """Images in one task of a flow that works on `images` of them.

    It is `wanted`, doubled as often as needed: a few images more change it hardly ever, so that
    a later run finds the same blocks done.
    """
    needed = min(-(-images // _MANY), LARGEST)
    size = wanted
    while size < needed:
        size *= 2
    return size


def bundles(sets: Iterable[ImageSet]) -> list[Bundle]:
    """Neighbours together, up to `bundle_size` images; a larger set by itself."""
    listed = list(sets)
    most = bundle_size(sum(len(each.images) for each in listed))
    found: list[list[ImageSet]] = []
    filled = most
    for each in listed:
        if filled + len(each.images) > most:
            found.append([])
            filled = 0
        found[-1].append(each)
        filled += len(each.images)
    return [Bundle(tuple(together)) for together in found]


def in_turn(function: Callable[[T], R], items: Sequence[T]) -> tuple[R, ...]:
    """`function` on each of `items`; one that fails does not keep the others from being done.

    Raises:
        Exception: a storage fault at once (the task tries again), or the error of the only one
            that failed. ExceptionGroup: of several.
    """
    results: list[R] = []
    errors: list[Exception] = []
    for item in items:
        try:
            results.append(function(item))
        except Exception as error:
            if is_storage_fault(error):
                raise
            errors.append(error)
    if len(errors) > 1:
        raise ExceptionGroup(f"{len(errors)} of {len(items)} in one task failed", errors)
    if errors:
        raise errors[0]
    return tuple(results)
