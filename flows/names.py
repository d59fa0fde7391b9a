"""What runs are called in the Prefect UI."""

from dataclasses import dataclass

from prefect.runtime import flow_run

from storage.files import basename


@dataclass(frozen=True, slots=True)
class RunName:
    """`template` filled with a run's parameters, e.g. ``extract {images} with {config.model}``.

    Of places the last part is shown. An object and not a function in a function: a flow travels to
    Dask workers with its name.
    """

    template: str

    def __call__(self) -> str:
        """The name of the run that begins."""
        given = flow_run.parameters
        shown = {name: basename(v) if isinstance(v, str) else v for name, v in given.items()}
        return self.template.format(**shown)
