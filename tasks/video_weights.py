"""The weights that a video was done with, for a benchmark's record."""

from prefect import task

from tasks.describe import model_of
from tasks.video_config import PropagateConfig


@task(name="weights")
def video_weights(config: PropagateConfig) -> dict[str, str]:
    """Name and digest of the weights."""
    model = model_of(config)
    return {"name": model.weights, "sha256": model.sha256}
