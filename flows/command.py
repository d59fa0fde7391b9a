"""What the subcommands of `patchflow` share: options, running a flow, ending."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

from flows.allocator import share_one_arena
from flows.terminal import json_option, print_done, print_failed, terminal
from storage.errors import StorageError, is_storage_fault
from storage.weights import WeightsError
from tasks.bars import working

# Errors whose message is written for users; anything else is a bug and shows its traceback.
EXPECTED = (StorageError, WeightsError, ValueError, KeyError, OSError, RuntimeError)
# Everything was done that could be; some input could not be used.
INCOMPLETE = 3


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every subcommand that runs a flow."""
    command = json_option(command)
    command = click.option(
        "--debug", is_flag=True, help="Show the traceback of an error, and Prefect's logs."
    )(command)
    return click.option(
        "--runner",
        default="threads",
        help="Where tasks run: threads, dask (a local cluster), tcp://HOST:PORT or a cluster "
        "FILE.yaml.",
    )(command)


# Errors come once, as a sentence, from `fail`.
QUIET = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "HF_HUB_VERBOSITY": "error",
    "OMP_WAIT_POLICY": "PASSIVE",
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error",
}


def run_flow(name: str, runner: str, debug: bool, **parameters: Any) -> Any:
    """Run the flow `name` of flows/`name`.py with a Prefect API and a task runner.

    Prints one sentence and exits with 1 where it fails.
    """
    if not debug:
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
    share_one_arena()
    with sentences(debug), contextlib.ExitStack() as ends:
        from flows.server import prefect_api

        if "PREFECT_API_URL" not in os.environ:
            signal.signal(signal.SIGINT, _leave)
        with working("starting"):
            ends.enter_context(prefect_api(meanwhile=lambda: _load(name, runner)))
            flow = _load(name, runner)
        outcome = flow(**parameters)
    terminal().outcome = outcome
    return outcome


def _load(name: str, runner: str) -> Callable[..., Any]:
    """The flow on its task runner; PyTorch and Dask take seconds to import."""
    import importlib

    from flows.runner import make_runner

    task_runner = make_runner(runner)
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    return flow.with_options(task_runner=task_runner)


def _leave(number: int, frame: Any) -> None:  # noqa: ARG001
    """Stop at once at Ctrl-C: what is committed is safe, and tasks may run for minutes."""
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # a bar hides the cursor
    click.echo(f"{shown}\nStopped. Run the same command again to go on from here.", err=True)
    os._exit(128 + number)


@contextlib.contextmanager
def sentences(debug: bool) -> Iterator[None]:
    """End the command with `fail` at errors that are no bugs of ours."""
    try:
        yield
    except (*EXPECTED, ExceptionGroup) as error:
        fail(error, debug)
    except Exception as error:
        # Every cloud's library has exceptions of its own, which share no base.
        if not is_storage_fault(error):
            raise
        fail(error, debug)


def fail(error: BaseException, debug: bool) -> NoReturn:
    """End with status 1 and what went wrong, in one sentence for each cause."""
    if debug:
        traceback.print_exception(error)
    causes = [error.message] if isinstance(error, ExceptionGroup) else []
    each = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
    causes += [_sentence(cause) for cause in each[:5]]
    print_failed(causes, debug)
    sys.exit(1)


def _sentence(cause: BaseException) -> str:
    text = str(cause.args[0]) if isinstance(cause, KeyError) and cause.args else str(cause)
    if isinstance(cause, EXPECTED) or not is_storage_fault(cause):
        return text or type(cause).__name__
    return (
        f"a storage place could not be reached ({type(cause).__name__}: {text}); check its URL, "
        "endpoint and credentials, then run again"
    )


def finish(line: str, place: str, missing: tuple[tuple[str, str], ...] = ()) -> None:
    """Print the closing lines; exit with 3 where inputs could not be used."""
    print_done(line, place, missing)
    if missing:
        sys.exit(INCOMPLETE)
