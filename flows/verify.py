"""A store in, what is wrong with it out."""

from prefect import flow

from storage.verify import VerifyReport
from tasks.bars import working
from tasks.care import verify_store


@flow(name="verify", flow_run_name="verify {store}")
def verify(store: str, repair: bool = False) -> VerifyReport:
    """Read every byte of a store and compare it with what was committed.

    Args:
        store: a local path or any fsspec URL.
        repair: drop what is damaged, so that the next extraction stores it again.
    """
    with working("reading every byte"):
        return verify_store(store, repair)
