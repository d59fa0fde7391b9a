"""How tasks retry: storage and network faults only, with growing, jittered pauses."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from storage.errors import is_storage_fault


def retry_storage_fault(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    """Whether a failed task is worth another try: a programming error fails at once."""
    return isinstance(state.data, BaseException) and is_storage_fault(state.data)


# For `@task(**STORAGE_RETRIES)`: pauses of about 2, 4, 8 and 16 seconds. What a task made is in
# the store; Prefect's own result would be a pickle, and its key a hash of every argument.
STORAGE_RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": retry_storage_fault,
    "persist_result": False,
}
