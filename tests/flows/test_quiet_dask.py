"""Commands say what came of them, not how a cluster started and ended."""

import os
import subprocess
import sys

from flows.command import QUIET

LEVEL = (
    "import distributed, logging; print(logging.getLogger('distributed.nanny').getEffectiveLevel())"
)


def test_a_cluster_logs_errors_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEVEL],
        env=os.environ | QUIET, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["40"]
