"""The command: help, exit statuses, and errors in one sentence."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result
from random_photos import write_photo

from flows.cli import main
from storage.files import write_bytes

ROOT = Path(__file__).parents[2]
TINY = ["--model", "test_vit", "--weights", "random", "--layer", "3", "--stride", "8"]
TINY += ["--size", "64", "--precision", "float32"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def commands(group: click.Group = main, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found.append((*prefix, name))
        if isinstance(command, click.Group):
            found += commands(command, (*prefix, name))
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        result = run(*command, flag)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: main {' '.join(command)}")
    # A sentence on what it does, and one on each option.
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[1].strip()[0].isupper()
    options = [line for line in lines if line.startswith("--") and line.split()[-1] == line]
    assert not [o for o in options if lines[lines.index(o) + 1].startswith("-")]


def test_the_first_page() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("demo", "extract", "cosegment", "info", "report"):
        assert f"\n  {name} " in result.stdout
    text = " ".join(result.stdout.split())
    assert "Exit status: 0 done, 1 failed, 2 wrong usage, 3 done except for inputs" in text
    assert run("--version").stdout.startswith("main, version 0.")


def test_shells_complete_places_from_the_disk() -> None:
    shell = BashComplete(main, {}, "patchflow", "_PATCHFLOW_COMPLETE")
    for given in (["cosegment"], ["transfer", "a.png", "b.png"], ["parts", "a", "b", "--store"]):
        assert [item.type for item in shell.get_completions(given, "pho")] == ["file"]
    assert [i.value for i in shell.get_completions(["parts"], "--parts")] == [
        "--parts", "--parts-elbow",
    ]  # fmt: skip


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    sentence(run("report", str(wrong)), 1, f"{wrong}: nothing is here. Give the folder")
    assert not wrong.exists()


def sentence(result: Result, status: int, *parts: str) -> None:
    """Ends with `status` and says `parts` on stderr, without a traceback."""
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.stderr
    for part in parts:
        assert part in errors[0]


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.mark.usefixtures("prefect_server")
class TestErrors:
    """Issue by issue what a user gets wrong, and what the answer is."""

    def test_a_stride_that_does_not_divide_the_patch(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, *TINY, "--stride", "5")
        sentence(result, 1, "stride 5x5 does not divide", "16: choose one of [1, 2, 4, 8, 16]")

    def test_a_layer_that_the_model_lacks(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, *TINY, "--layer", "11")
        sentence(result, 1, "layer 11 does not exist: test_vit has layers 0..5")

    def test_a_head_that_the_model_lacks(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, *TINY, "--saliency-heads", "0,2")
        sentence(result, 1, "saliency head 2 does not exist: test_vit has heads 0..1")

    def test_an_unknown_facet(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, *TINY, "--facet", "keys")
        sentence(result, 2, "'keys' is not one of 'key', 'query', 'value'", "did you mean 'key'?")
        result = run("extract", str(photos), store, *TINY, "--also", "3.tokn")
        sentence(result, 2, "--also", "expected LAYER.FACET", "did you mean token?")

    def test_an_unknown_model(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, "--model", "vit_small_patch14_dinov4")
        sentence(result, 1, "no model 'vit_small_patch14_dinov4'", "vit_small_patch14_dinov2")

    def test_an_empty_and_a_missing_folder(self, tmp_path: Path, store: str) -> None:
        (tmp_path / "empty").mkdir()
        for command in ("extract", "cosegment"):
            sentence(run(command, str(tmp_path / "empty"), store, *TINY), 1, "empty")
            sentence(run(command, str(tmp_path / "nowhere"), store, *TINY), 1, "nowhere")

    def test_a_store_made_with_another_config(self, photos: Path, store: str) -> None:
        assert run("extract", str(photos), store, *TINY).exit_code == 0
        result = run("extract", str(photos), store, *TINY, "--size", "80")
        sentence(result, 1, "size", "64", "80")

    def test_an_unreachable_bucket(
        self, photos: Path, store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import fsspec

        settings = {
            "endpoint_url": "http://127.0.0.1:9",
            "key": "k",
            "secret": "s",
            "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1},
        }
        monkeypatch.setitem(fsspec.config.conf, "s3", settings)
        from tasks import extract as extract_task

        monkeypatch.setattr(extract_task.plan, "retries", 0)
        started = time.monotonic()
        sentence(run("extract", "s3://nowhere/photos", store, *TINY), 1, "s3://nowhere/photos")
        unreachable = ("storage place could not be reached", "127.0.0.1:9/nowhere/store", "URL")
        sentence(run("extract", str(photos), "s3://nowhere/store", *TINY), 1, *unreachable)
        sentence(run("info", "s3://nowhere/store"), 1, *unreachable)
        weights = ["--weights", "s3://nowhere/store/w.pth"]
        result = run("extract", str(photos), store, *TINY, *weights)
        sentence(result, 1, "weights 's3://nowhere/store/w.pth' could not be fetched")
        assert time.monotonic() - started < 100

    def test_wrong_weights(self, photos: Path, store: str, tmp_path: Path) -> None:
        weights = tmp_path / "w.pth"
        weights.write_bytes(b"no weights")
        other = ["--weights", str(weights)]
        result = run("extract", str(photos), store, *TINY, *other)
        sentence(result, 1, "w.pth is no plain state dict of tensors")
        result = run("extract", str(photos), store, *TINY, *other, "--weights-sha256", "0" * 64)
        sentence(result, 1, "expected 0000", "--weights-sha256")
        result = run("extract", str(photos), store, *TINY, "--weights", "nowhere.pth")
        sentence(result, 1, "no weights file at 'nowhere.pth'")
        assert not Path(store).exists()

    def test_an_unknown_runner(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, *TINY, "--runner", "spark")
        sentence(result, 1, "runner must be threads, dask, a scheduler address", "'spark'")

    def test_what_is_no_store(self, tmp_path: Path) -> None:
        sentence(run("info", str(tmp_path)), 1, str(tmp_path))

    def test_debug_shows_the_traceback_and_the_sentence(self, photos: Path, store: str) -> None:
        result = run("extract", str(photos), store, *TINY, "--stride", "5", "--debug")
        assert result.exit_code == 1
        assert "Error: stride 5x5 does not divide" in result.stderr


@pytest.mark.usefixtures("prefect_server")
def test_a_run_from_images_to_info(photos: Path, store: str) -> None:
    result = run("extract", str(photos), store, *TINY)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == [
        "7 images stored, 0 were already",
        f"store: {store}",
    ]
    again = run("extract", str(photos), store, *TINY)
    assert again.exit_code == 0
    assert "nothing to do: 7 images are stored already" in again.stdout
    info = run("info", store)
    assert info.exit_code == 0
    for part in ("images      7", "partitions  3", "config      stride = 8", "weights     random"):
        assert part in info.stdout


@pytest.mark.usefixtures("prefect_server")
def test_inputs_that_could_not_be_used_are_named_with_status_3(photos: Path, store: str) -> None:
    (photos / "broken.jpg").write_bytes(b"")
    result = run("extract", str(photos), store, *TINY)
    assert result.exit_code == 3
    assert "could not use broken.jpg: the file is empty (zero bytes)" in result.stderr
    assert "7 images stored, 0 were already, 1 could not be read" in result.stdout


@pytest.mark.usefixtures("prefect_server")
def test_urls_everywhere() -> None:
    root = f"memory://{uuid.uuid4().hex}"
    picture = write_photo(Path(f"/tmp/{uuid.uuid4().hex}.png"), 1)  # noqa: S108
    write_bytes(f"{root}/photos/a.png", picture.read_bytes())
    picture.unlink()
    result = run("extract", f"{root}/photos", f"{root}/store", *TINY)
    assert result.exit_code == 0, result.output
    assert "images      1" in run("info", f"{root}/store").stdout


def test_without_any_server_the_command_brings_its_own(photos: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    command = [sys.executable, "-c", "from flows.cli import main; main()"]
    environment |= {"PREFECT_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "extract", str(photos), str(tmp_path / "store"), *TINY],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == "7 images stored, 0 were already"
    # Nothing but the closing lines: no logs, no warnings.
    assert done.stderr == ""


def test_help_does_not_wait_for_prefect() -> None:
    code = (
        "import sys; from flows.cli import main\n"
        "try: main(['--help'])\nfinally: print('prefect' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
