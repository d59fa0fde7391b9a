"""Object discovery as a flow and a command: files that other programs read, reuse, odd pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from random_photos import write_photo

from flows.cli import main
from flows.discover import discover
from storage.results import read_json
from tasks import discover as discover_task
from tasks import discover_layer
from tasks.discover_config import DiscoverConfig
from tasks.ops.rle import decode_rle

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = DiscoverConfig(
    model="test_vit",
    weights="random",
    layer=5,
    facet="token",
    stride=8,
    size=64,
    precision="float32",
    method="mask_cut",
    objects=2,
    block=4,
)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_boxes_masks_and_groups_agree(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = discover(str(photos), str(out), TINY.replace(attention_heads=True))
    boxes = read_json(str(out / "boxes.json"))
    page = read_json(str(out / "set.json"))
    assert all({"boxes", "heads"} <= image["pictures"].keys() for image in page["images"])
    images = {entry["id"]: entry for entry in read_json(str(out / "images.json"))["images"]}
    assert sorted(e["file_name"] for e in images.values()) == sorted(
        str(path.relative_to(photos)) for path in photos.rglob("*.png")
    )
    assert summary.totals.objects == len(boxes) >= 7
    joined: dict[int, np.ndarray] = {}
    for entry in boxes:
        height, width = entry["segmentation"]["size"]
        mask = decode_rle(entry["segmentation"]["counts"], height, width)
        rows, cols = np.nonzero(mask)
        left, top, w, h = entry["bbox"]
        # Box and mask come from the same patches, the box to the cell's edge, not the pixel's.
        near = [left - cols.min(), top - rows.min(), left + w - cols.max() - 1]
        assert np.abs([*near, top + h - rows.max() - 1]).max() <= 1
        image = images[entry["image_id"]]
        assert (image["height"], image["width"]) == mask.shape
        joined[entry["image_id"]] = joined.get(entry["image_id"], False) | mask
    for number, mask in joined.items():
        written = pixels(out / "masks" / f"{Path(images[number]['file_name']).stem}.png")
        np.testing.assert_array_equal(written, np.where(mask, 255, 0))
    groups = read_json(str(out / "groups.json"))
    assert sum(group["objects"] for group in groups) == len(boxes)
    assert {entry["group"] for entry in boxes} == set(range(1, len(groups) + 1))
    overview = read_json(str(out / "groups" / "set.json"))
    assert overview["numbers"] == {"images": 7, "objects": len(boxes), "groups": len(groups)}
    for record, group in zip(overview["images"], groups, strict=True):
        assert record["name"] == group["name"]
        assert len(record["pictures"]) == min(group["objects"], 12)
        for path in record["pictures"].values():
            assert max(pixels(out / "groups" / path).shape) == 240
    assert (out / "report" / "pages" / "groups-discover.html").exists()


# pycocotools' own arrays speak NumPy 1's __array__.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_results_open_in_pycocotools(photos: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="needs the package pycocotools")
    out = tmp_path / "out"
    discover(str(photos), str(out), TINY.replace(pictures=False))
    loaded = coco.COCO(str(out / "images.json")).loadRes(str(out / "boxes.json"))
    entries = read_json(str(out / "boxes.json"))
    found = loaded.loadAnns(loaded.getAnnIds())
    assert [a["bbox"] for a in found] == [e["bbox"] for e in entries]
    for annotation, entry in zip(found, entries, strict=True):
        mask = decode_rle(entry["segmentation"]["counts"], *entry["segmentation"]["size"])
        np.testing.assert_array_equal(loaded.annToMask(annotation), mask)


def test_only_blocks_that_changed_are_done_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    config = TINY.replace(pictures=False)
    discover(str(photos), str(out), config)
    before = read_json(str(out / "boxes.json"))
    worked: list[str] = []
    real = discover_task.discover_images

    def watched(images: Any, *rest: Any) -> Any:
        worked.extend(image.name for image in images)
        return real(images, *rest)

    monkeypatch.setattr(discover_task, "discover_images", watched)
    again = discover(str(photos), str(out), config.replace(max_groups=1))
    assert worked == []
    after = read_json(str(out / "boxes.json"))
    assert [e["bbox"] for e in after] == [e["bbox"] for e in before]
    assert again.totals.groups == 1
    write_photo(photos / "dogs" / "8.png", 9)  # the last of the second block of four
    discover(str(photos), str(out), config)
    assert worked == ["dogs/2.png", "dogs/4.png", "dogs/6.png", "dogs/8.png"]


def test_what_was_learned_serves_other_images_of_the_same_descriptors(
    photos: Path, tmp_path: Path
) -> None:
    config = TINY.replace(method="objectness", pictures=False, max_groups=0)
    first, second = tmp_path / "first", tmp_path / "second"
    discover(str(photos), str(first), config)
    again = config.replace(learned=str(first / "objectness.json"))
    discover(str(photos / "cats"), str(second), again)
    assert not (second / "objectness.json").exists()
    for path in (second / "masks").iterdir():
        np.testing.assert_array_equal(pixels(path), pixels(first / "masks" / path.name))
    with pytest.raises(ValueError, match=r"learned from other descriptors: .*5\.token.*4\.token"):
        discover(str(photos), str(tmp_path / "third"), again.replace(layer=4))
    other = config.replace(learned=str(first / "boxes.json"))
    with pytest.raises(ValueError, match=r"boxes\.json is no objectness\.json"):
        discover(str(photos), str(tmp_path / "third"), other)
    assert not (tmp_path / "third").exists()
    with pytest.raises(ValueError, match="Leave out pca or learned"):
        again.replace(pca=8)


def test_the_command_names_what_it_could_not_use(tmp_path: Path) -> None:
    folder, out = tmp_path / "odd", tmp_path / "out"
    for i in range(3):
        write_photo(folder / f"{i}.png", i)
    Image.new("RGB", (64, 64), (9, 200, 30)).save(folder / "flat.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    options = ["--model", "test_vit", "--weights", "random", "--layer", "5", "--stride", "8"]
    options += ["--size", "64", "--precision", "float32", "--method", "token_cut", "--json"]
    result = CliRunner().invoke(main, ["discover", str(folder), str(out), *options])
    assert result.exit_code == 3, result.output
    told = json.loads(result.stdout)
    assert told["summary"]["totals"]["images"] == 4
    assert told["summary"]["totals"]["empty"] >= 1
    assert [entry["name"] for entry in told["missing"]] == ["broken.png"]
    reasons = {e["file_name"]: e["reason"] for e in read_json(str(out / "images.json"))["images"]}
    assert reasons["flat.png"] == "the picture is of one colour"
    assert not pixels(out / "masks" / "flat.png").any()
    assert reasons.keys() == {"0.png", "1.png", "2.png", "flat.png"}


def test_layer_and_facet_are_chosen_once_and_shown(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = TINY.replace(auto_layer=True, layer=0)
    discover(str(photos), str(out), config)
    choice = read_json(str(out / "layer_choice.json"))["choice"]
    worth = [tried["worth"] for tried in choice["tried"]]
    assert worth == sorted(worth, reverse=True)
    # Six layers: the last two thirds, three facets each.
    assert {(t["layer"], t["facet"]) for t in choice["tried"]} == {
        (layer, facet) for layer in (2, 3, 4, 5) for facet in ("key", "value", "token")
    }
    best = choice["tried"][0]
    stored = read_json(str(out / "store" / "store.json"))["config"]
    assert (stored["layer"], stored["facet"]) == (best["layer"], best["facet"])
    page = read_json(str(out / "set.json"))
    assert f"layer {best['layer']} {best['facet']} was chosen on 7 images" in page["notes"][0]
    assert page["tables"][-1]["title"] == "Layers and facets"
    for seed in range(3):  # more images, which might prefer another layer
        write_photo(photos / f"{seed}.png", seed + 50)
    assert discover(str(photos), str(out), config).extraction.stored == 3
    assert read_json(str(out / "layer_choice.json"))["choice"] == choice


def test_a_pair_that_is_known_to_fail_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover_layer, "fails_with_last_keys", bool)
    config = TINY.replace(facet="key", method="lost", center=False)
    summary = discover(str(photos), str(tmp_path / "out"), config)
    assert len(summary.doubts) == 1
    assert "last-layer keys of test_vit are known to fail with method lost" in summary.line
    assert "add --center" in summary.line
    assert tuple(read_json(str(tmp_path / "out" / "set.json"))["warnings"]) == summary.doubts


@pytest.mark.parametrize(
    ("settings", "fails"),
    [
        ({"method": "token_cut", "tau": 0.2}, True),
        ({"method": "token_cut"}, False),
        ({"method": "lost", "center": False, "model": "vit_small_patch16_dinov3.lvd1689m"}, True),
        ({"method": "lost"}, False),
        ({"method": "mask_cut", "tau": 0.2, "model": "vit_base_patch14_reg4_dinov2"}, True),
        ({"method": "token_cut", "tau": 0.2, "model": "vit_small_patch8_224.dino"}, False),
    ],
)
def test_what_is_published_to_fail(settings: dict[str, Any], fails: bool) -> None:
    assert discover_layer.fails_with_last_keys(DiscoverConfig(**settings)) == fails
