"""The file contract between tasks and the report."""

from pathlib import Path

import pytest

from storage.results import write_json
from tasks.report_records import (
    ClusterRecord,
    CurveRecord,
    GridRecord,
    ImageRecord,
    MatchRecord,
    RecordError,
    SetRecord,
    SketchRecord,
    TableRecord,
    find_records,
    read_missing,
    read_record,
    write_missing,
    write_record,
)

RECORD = SetRecord(
    "coseg",
    "cats & <dogs>",
    images=(
        ImageRecord("a/1.jpg", 640, 480, {"image": "pictures/0-image.jpg"}, jaccard=0.5),
        ImageRecord(
            "a/2.jpg",
            64,
            48,
            grid=GridRecord(3, 4, 0.1, 0.1, 0.8, 0.8),
            jaccard=0.75,
            warnings=("blurred",),
        ),
        ImageRecord("b.jpg", 8, 8, numbers={"confidence": None}),
    ),
    clusters=(ClusterRecord(0, 120, 0.3, 2, 3, True, "kept: salient", (1, 2, 3)),),
    tables=(TableRecord("T", ("a", "b"), (("x", 1.5), (None, True))),),
    curves=(CurveRecord("area", {"mask": (0.1, None, 0.3)}),),
    matches=(MatchRecord(1.5, 2, 3, 4, 0.9),),
    sketches=(SketchRecord("9-token", "layer 9 token", (0.0, 0.5), (0.1, 0.2), 0.004),),
    legend={"part 1": (9, 8, 7)},
    settings={"k": 3, "model": "vit"},
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    assert read_record(write_record(str(tmp_path / "x"), RECORD)) == RECORD
    assert RECORD.mean_jaccard == 0.625
    assert SetRecord("pair", "p").mean_jaccard is None


def test_left_out_fields_have_defaults_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    url = write_json(str(tmp_path / "set.json"), {"kind": "video", "name": "clip", "new": 1})
    assert read_record(url) == SetRecord("video", "clip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "x"}, "set.json: kind: field required"),
        ({"kind": "dance", "name": "x"}, "set.json: kind: input should be 'coseg'"),
        ({"kind": "pair", "name": "x", "images": [{"name": "i"}]}, r"images\.0\.width: field"),
        ([], "set.json: the file: .*report_records.write_record"),
    ],
)
def test_errors_name_file_and_field(tmp_path: Path, content: object, message: str) -> None:
    url = write_json(str(tmp_path / "set.json"), content)
    with pytest.raises(RecordError, match=message):
        read_record(url)


def test_a_cut_off_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text('{"kind": "pa')
    with pytest.raises(RecordError, match="not valid JSON"):
        read_record(str(tmp_path / "set.json"))


def test_what_is_missing_is_kept_until_a_run_misses_nothing(tmp_path: Path) -> None:
    write_missing(str(tmp_path), [("a.jpg", "empty"), ("b.jpg", "broken")])
    (url,) = find_records(str(tmp_path))
    assert read_missing(url) == {"a.jpg": "empty", "b.jpg": "broken"}
    write_json(url, ["a.jpg"])
    with pytest.raises(RecordError, match=r"missing\.json: expected a reason by name"):
        read_missing(url)
    write_missing(str(tmp_path), [])
    assert find_records(str(tmp_path)) == []


def test_records_are_found_in_folders_and_not_in_the_report(tmp_path: Path) -> None:
    write_json(str(tmp_path / "store" / "store.json"), {})
    nowhere = ("report/a", "deep/er/and/deeper", "s.zarr/x", "b/masks", "store/partitions")
    for place in (".", "b", "a/parts", *nowhere):
        write_record(str(tmp_path / place), SetRecord("coseg", place))
    write_json(str(tmp_path / "m" / "metrics.json"), {"scores": {}})
    found = [url.removeprefix(str(tmp_path)) for url in find_records(str(tmp_path))]
    assert found == ["/a/parts/set.json", "/b/set.json", "/m/metrics.json", "/set.json"]
    assert find_records(str(tmp_path / "nothing")) == []
