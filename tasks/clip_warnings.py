"""What a user should know of a clip's masks although nothing failed."""

from collections.abc import Sequence

from tasks.clip_state import ClipState
from tasks.given_masks import GivenMasks
from tasks.summary import counted

_NAMED = 3  # frames or objects that a warning names


def stretched_frames(names: Sequence[str]) -> tuple[str, ...]:
    """Frames of other proportions than the masks: they were described, and cut, distorted."""
    if not names:
        return ()
    return (
        f"other proportions than the mask's, and stretched to them: {counted(len(names), 'frame')}"
        f" ({_first(sorted(names))})",
    )


def unseen_objects(given: GivenMasks, state: ClipState) -> tuple[str, ...]:
    """Objects that no frame but those with a given mask shows."""
    found = [areas for index, areas in state.areas.items() if index not in given.by_frame]
    if not found:
        return ()
    unseen = [
        str(number)
        for place, number in enumerate(given.numbers)
        if not any(areas[place] for areas in found)
    ]
    if not unseen:
        return ()
    return (
        f"object {_first(unseen)} is found in no frame but those with a given mask: smaller than "
        "what descriptors can tell? A larger --size shows more.",
    )


def _first(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
