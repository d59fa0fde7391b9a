"""All of a deployment, real, on loopback: Prefect on PostgreSQL, a worker, Dask, an S3 server.

Each part is a child process with a log of its own under `folder`, and ends with `stop`.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import local_servers
import psutil

ROOT = Path(__file__).parents[2]
POOL = "patchflow"
START_SECONDS = 240


def postgres_binary(name: str) -> str | None:
    return shutil.which(name)


@dataclass
class Stack:
    """folder: of logs, data and buckets. env: what a user's shell would hold.

    ttl: how long the Dask scheduler waits for a sign of life of a worker.
    """

    folder: Path
    ttl: str = "300s"
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("postgres", "prefect", "s3", "scheduler")
        self.ports = {name: local_servers.free_port() for name in names}
        (self.folder / "bucket").mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        api = f"http://127.0.0.1:{self.ports['prefect']}/api"
        own = {
            "PREFECT_HOME": str(self.folder / "prefect-home"),
            "PREFECT_API_URL": api,
            "PREFECT_UI_API_URL": api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "4",
            "OMP_NUM_THREADS": "1",
            "PREFECT_LOGGING_LEVEL": "INFO",
            "FSSPEC_S3": json.dumps(local_servers.s3_settings(self.ports["s3"])),
            "PATCHFLOW_HOME": str(ROOT),
            "PATCHFLOW_POOL": POOL,
            "PATCHFLOW_RUNNER": self.scheduler,
            "PATCHFLOW_IMAGES": "s3://bucket/photos",
            "PATCHFLOW_STORE": "s3://bucket/store",
            "PATCHFLOW_OUT": "s3://bucket/results",
            "PATCHFLOW_PIPELINE": "s3://bucket/pipeline.yaml",
        }
        # The worker's children find the package without an installation.
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        return os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    @property
    def scheduler(self) -> str:
        return f"tcp://127.0.0.1:{self.ports['scheduler']}"

    def start_postgres(self) -> None:
        initdb, postgres = postgres_binary("initdb"), postgres_binary("postgres")
        if initdb is None or postgres is None:
            raise FileNotFoundError("postgres and initdb are not installed")
        data = self.folder / "postgres"
        data.mkdir()
        # PostgreSQL refuses to run as root.
        user: str | None = None
        if os.getuid() == 0:
            user = "postgres"
            shutil.chown(data, user, pwd.getpwnam(user).pw_gid)
        make = [initdb, "-D", str(data), "-U", "prefect", "--auth", "trust", "--no-sync"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        port = str(self.ports["postgres"])
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(data)]
        self._start("postgres", [postgres, "-D", str(data), "-p", port, *options], user=user)
        self._await_port("postgres")

    def start_prefect(self) -> None:
        url = f"postgresql+asyncpg://prefect@127.0.0.1:{self.ports['postgres']}/postgres"
        port = str(self.ports["prefect"])
        command = [*_module("prefect"), "server", "start", "--host", "127.0.0.1", "--port", port]
        extra = {"PREFECT_API_DATABASE_CONNECTION_URL": url, "PREFECT_SERVER_API_PORT": port}
        self._start("prefect", command, extra)
        self._await(lambda: _answers(f"{self.env['PREFECT_API_URL']}/health"), "prefect")

    def start_s3(self) -> None:
        server = local_servers.s3_server(self.folder / "s3", self.ports["s3"])
        self._start("s3", server.command)
        self._await_port("s3")

    def start_scheduler(self) -> None:
        port = str(self.ports["scheduler"])
        options = ["--host", "127.0.0.1", "--port", port, *_pages()]
        command = [*_module("distributed.cli.dask_scheduler"), *options]
        # Too short a time loses workers that only load a model on a busy machine.
        told = {"WORKER_TTL": self.ttl, "WORKER_SATURATION": "1.0"}
        extra = {f"DASK_DISTRIBUTED__SCHEDULER__{name}": value for name, value in told.items()}
        self._start("scheduler", command, extra)
        self._await_port("scheduler")

    def start_dask_worker(self, number: int) -> None:
        options = ["--nworkers", "1", "--nthreads", "1", *_pages()]
        place = ["--local-directory", str(self.folder / f"dask-{number}")]
        where = [self.scheduler, "--host", "127.0.0.1", "--memory-limit", "2GiB"]
        command = [*_module("distributed.cli.dask_worker"), *where, *options, *place]
        self._start(f"dask-{number}", command)

    def start_worker(self) -> None:
        # Not in the background of a shell: such a worker survives the first SIGTERM.
        self._start("worker", [*_module("prefect"), "worker", "start", "--pool", POOL])

    def prefect(self, *arguments: str) -> str:
        """Run Prefect's command line to its end, and return what it printed."""
        done = subprocess.run(
            [*_module("prefect"), "--no-prompt", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def listening(self) -> list[str]:
        """Addresses at which the parts and their children can be reached, e.g. 127.0.0.1:8786."""
        found = []
        for part in self.parts.values():
            process = psutil.Process(part.pid)
            for each in (process, *process.children(recursive=True)):
                sockets = each.net_connections(kind="inet")
                found += [s.laddr for s in sockets if s.status == psutil.CONN_LISTEN]
        return [f"{address.ip}:{address.port}" for address in found]

    def kill(self, name: str) -> None:
        process = self.parts[name]
        process.kill()
        process.wait(timeout=60)

    def hang_dask_worker(self, number: int) -> None:
        """Stop a worker where it is, for good; the nanny that looks after it goes on."""
        for child in psutil.Process(self.parts[f"dask-{number}"].pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.suspend()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        for name in reversed(self.parts):
            process = self.parts[name]
            if process.poll() is None:
                # INT: PostgreSQL's fast shutdown, and what a terminal sends to the others.
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(
        self,
        name: str,
        command: list[str],
        extra: dict[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self.parts[name] = subprocess.Popen(
                command,
                cwd="/" if user else ROOT,
                env=self.env | (extra or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
            )

    def _await_port(self, name: str) -> None:
        self._await(lambda: _listens(self.ports[name]), name)

    def _await(self, ready: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.parts[name].poll() is None:
            if ready():
                return
            time.sleep(0.1)
        raise RuntimeError(f"{name} did not start:\n{self.log(name)[-2000:]}")


@contextlib.contextmanager
def whole_stack(workers: int = 2, deployed: bool = True, ttl: str = "300s") -> Iterator[Stack]:
    """Everything started, and with `deployed` all deployments and a worker of their pool."""
    folder = Path(tempfile.mkdtemp(prefix="patchflow-stack-"))
    stack = Stack(folder, ttl)
    try:
        stack.start_s3()
        stack.start_postgres()
        stack.start_scheduler()
        for number in range(workers):
            stack.start_dask_worker(number)
        stack.start_prefect()
        if deployed:
            stack.prefect("work-pool", "create", POOL, "--type", "process")
            stack.prefect("deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
            stack.start_worker()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _pages() -> list[str]:
    """Dask serves its health and metrics on every interface, with --host and --no-dashboard too."""
    return ["--dashboard-address", "127.0.0.1:0", "--no-dashboard"]


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310
        return bool(reply.status == 200)
    return False
