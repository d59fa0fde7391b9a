"""Progress where people look: a bar in the terminal, a progress artifact in the Prefect UI."""

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture, as_completed

from tasks.bars import counting

R = TypeVar("R")


def gather(
    what: str,
    futures: Mapping[PrefectFuture[R], int],
    *,
    lost: Callable[[R], int] | None = None,
    inside: str | None = None,
) -> tuple[list[R], list[BaseException]]:
    """Wait for all `futures`, showing progress, and return results and errors.

    One failing task does not keep the others from ending.

    Args:
        what: the verb and noun shown, e.g. "extracting images".
        futures: each with the number of units (images, sets) that it stands for.
        lost: how many inputs the task of a result could not use; their sum is shown.
        inside: what the tasks' work advances by where that is not units, e.g. "frames" of videos.

    Returns:
        results in the order of `futures`, whichever ended first, and the exceptions of tasks
        that failed.
    """
    total = sum(futures.values())
    results: dict[PrefectFuture[R], R] = {}
    errors: list[BaseException] = []
    artifact: Any = create_progress_artifact(progress=0.0, description=what)
    done = unusable = 0
    with counting(what, total, inside) as line:
        for future in as_completed(list(futures)):
            outcome = _outcome(future)
            if isinstance(outcome, BaseException):
                errors.append(outcome)
            else:
                results[future] = outcome
                unusable += lost(outcome) if lost else 0
            remarks = [f"{len(errors)} failed"] if errors else []
            remarks += [f"{unusable:,} could not be used"] if unusable else []
            done += futures[future]
            line.finish(futures[future], ", ".join(remarks))
            update_progress_artifact(artifact, progress=100.0 * done / max(total, 1))
    return [results[future] for future in futures if future in results], errors


def _outcome(future: PrefectFuture[R]) -> R | BaseException:
    # A Dask worker that died too often, or a scheduler that is gone, raises all the same.
    try:
        return future.result(raise_on_failure=False)
    except (Exception, CancelledError) as error:  # noqa: BLE001 - the run goes on without it
        return error


def raise_failed(errors: Sequence[BaseException], message: str) -> None:
    """Raise what `gather` found wrong, once everything else is done; nothing where nothing is.

    Raises:
        ExceptionGroup: `message` and the errors of the failed tasks.
    """
    ordinary = [error for error in errors if isinstance(error, Exception)]
    if ordinary:
        raise ExceptionGroup(message, ordinary)
    if errors:
        raise errors[0]  # nothing but a cancellation or an interrupt
