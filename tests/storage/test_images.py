"""Every kind of file decodes to the same RGB, and hostile ones are named."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import SourceError, UnreadableImageError
from storage.files import join, write_bytes
from storage.images import ImageRef, image_size, list_images, read_image

COLOUR = (200, 100, 50)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(width: int = 20, height: int = 12) -> Image.Image:
    return Image.new("RGB", (width, height), COLOUR)


def ref_of(place: str, name: str, data: bytes) -> ImageRef:
    url = join(place, name)
    write_bytes(url, data)
    return ImageRef(name, url, len(data), "1")


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (plain(), "PNG", COLOUR),
        (plain().convert("P", palette=Image.Palette.ADAPTIVE), "PNG", COLOUR),
        (Image.new("L", (20, 12), 77), "PNG", (77, 77, 77)),
        (Image.new("1", (20, 12), 1), "PNG", (255, 255, 255)),
        (Image.fromarray(np.full((12, 20), 257 * 40, np.uint16)), "PNG", (40, 40, 40)),
        (Image.fromarray(np.full((12, 20), 257 * 40, np.int32)), "TIFF", (40, 40, 40)),
        (Image.fromarray(np.full((12, 20), 0.2, np.float32)), "TIFF", (51, 51, 51)),
        (Image.new("RGBA", (20, 12), (*COLOUR, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (20, 12), (*COLOUR, 255)), "PNG", COLOUR),
        (Image.new("LA", (20, 12), (77, 255)), "PNG", (77, 77, 77)),
        (Image.new("CMYK", (20, 12), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_every_mode_becomes_rgb(
    tmp_path: object, image: Image.Image, kind: str, expected: tuple[int, int, int]
) -> None:
    pixels = read_image(ref_of(str(tmp_path), f"x.{kind.lower()}", encoded(image, kind)))
    assert pixels.shape == (12, 20, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (12, 20, 3)))


def test_orientation_turns_pixels_and_size_alike(tmp_path: object) -> None:
    upright = np.zeros((20, 12, 3), np.uint8)
    upright[:10] = 255  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    stored = Image.fromarray(np.rot90(upright))
    ref = ref_of(str(tmp_path), "x.png", encoded(stored, "PNG", exif=exif))
    assert image_size(ref) == (12, 20)
    np.testing.assert_array_equal(read_image(ref), upright)


@pytest.mark.parametrize("turned", [False, True])
def test_a_large_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path, turned: bool) -> None:
    # Smooth, so that a quarter of the pixels tells what the whole does.
    ramp = np.linspace(0, 255, 1600)[None, :, None] * np.linspace(0.2, 1, 1200)[:, None, None]
    picture = Image.fromarray(np.broadcast_to(ramp, (1200, 1600, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    for name in ("large.jpg", "large.png"):
        picture.save(tmp_path / name, exif=exif)
    refs = {ref.name: ref for ref in list_images(str(tmp_path))}
    upright = (1200, 1600) if turned else (1600, 1200)
    asked: list[tuple[int, int]] = []

    def half(width: int, height: int) -> tuple[int, int]:
        asked.append((width, height))
        return width // 3, height // 3

    small = read_image(refs["large.jpg"], at_least=half)
    assert asked == [upright]
    assert small.shape == (upright[1] // 2, upright[0] // 2, 3)
    whole = read_image(refs["large.jpg"])
    assert whole.shape == (upright[1], upright[0], 3)
    resized = np.asarray(Image.fromarray(whole).resize(small.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(small.astype(int) - resized).mean() < 0.6
    assert read_image(refs["large.png"], at_least=half).shape == whole.shape


def test_the_header_is_enough_for_the_size(tmp_path: object) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "PNG")
    assert len(data) > 2 * 65_536
    ref = ref_of(str(tmp_path), "x.png", data[:65_536])
    assert image_size(ImageRef(ref.name, ref.url, len(data), "1")) == (600, 400)


def test_a_tiff_with_its_directory_at_the_end_still_has_a_size(tmp_path: object) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "TIFF")
    body, offset = data[8:], int.from_bytes(data[4:8], "little")
    assert len(data) > 65_536
    ref = ref_of(str(tmp_path), "x.tif", data[:4] + offset.to_bytes(4, "little") + body)
    assert image_size(ref) == (300, 200)


BROKEN = [
    (b"", "zero bytes"),
    (b"This is no photograph at all.", "holds text"),
    (b"<html><body>404</body></html>", "holds HTML"),
    (b"\xff\xd8\xff\xe0" + bytes(range(256)), "image"),
    (b"\x00\x00\x00\x18ftypheic" + bytes(range(256)), "a HEIC file, .* convert it to JPEG"),
    (encoded(plain(1, 1), "PNG"), "too small: 1x1"),
]


@pytest.mark.parametrize(("data", "reason"), BROKEN)
def test_broken_files_are_named_with_the_reason(tmp_path: object, data: bytes, reason: str) -> None:
    ref = ref_of(str(tmp_path), "bad.jpg", data)
    for reader in (image_size, read_image):
        with pytest.raises(UnreadableImageError, match=rf"^bad\.jpg: .*{reason}"):
            reader(ref)


def test_a_truncated_file_has_a_size_and_no_pixels(tmp_path: object) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    ref = ref_of(str(tmp_path), "cut.jpg", data[: len(data) // 2])
    assert image_size(ref) == (64, 64)
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_image(ref)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: object) -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    for reader in (image_size, read_image):
        with pytest.raises(UnreadableImageError, match="too many pixels, the limit is 100,000,000"):
            reader(ref_of(str(tmp_path), "bomb.png", bomb))
    with pytest.raises(UnreadableImageError, match="too many pixels: 20x12, the limit is 100"):
        read_image(ref_of(str(tmp_path), "x.png", encoded(plain(), "PNG")), max_pixels=100)


def test_a_file_that_vanished_is_unreadable_and_not_a_fault(place: str) -> None:
    ref = ImageRef("x.png", join(place, "x.png"), 5, "1")
    with pytest.raises(UnreadableImageError, match="gone since the source was listed"):
        read_image(ref)


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImageError("a.jpg", "broken")))  # noqa: S301
    assert (error.name, error.reason, str(error)) == ("a.jpg", "broken", "a.jpg: broken")


# --- listing ------------------------------------------------------------------------------


def fill(place: str) -> None:
    for name in ("b.png", "sub/a.JPG", "sub/deep/c.webp", ".hidden.png", "sub/.dot/d.png"):
        write_bytes(join(place, name), encoded(plain(), "PNG"))
    write_bytes(join(place, "sub/telephone.heic"), b"\0\0\0\x18ftypheic")
    write_bytes(join(place, "notes.md"), b"no image")


def test_a_folder_is_listed_recursively_and_sorted(place: str) -> None:
    fill(place)
    refs = list_images(place)
    expected = ["b.png", "sub/a.JPG", "sub/deep/c.webp", "sub/telephone.heic"]
    assert [ref.name for ref in refs] == expected
    assert refs == list_images(place + "/")
    size = len(encoded(plain(), "PNG"))
    assert {ref.bytes for ref in refs} == {size, 12}
    assert all(ref.version for ref in refs)
    assert read_image(refs[1]).shape == (12, 20, 3)


def test_a_changed_file_has_another_version(place: str) -> None:
    fill(place)
    before = {ref.name: ref.version for ref in list_images(place)}
    write_bytes(join(place, "b.png"), encoded(plain(30, 30), "PNG"))
    after = {ref.name: ref.version for ref in list_images(place)}
    assert {name for name in after if before[name] != after[name]} == {"b.png"}


def test_a_glob_names_from_its_fixed_folder(place: str) -> None:
    fill(place)
    assert [ref.name for ref in list_images(f"{place}/sub/*.JPG")] == ["a.JPG"]
    names = [ref.name for ref in list_images(f"{place}/**/*.webp")]
    assert names == ["sub/deep/c.webp"]
    with pytest.raises(SourceError, match="nothing matches"):
        list_images(f"{place}/*.tif")


def test_of_two_images_of_one_name_in_a_list_the_second_is_a_failure(tmp_path: Path) -> None:
    local, twin = tmp_path / "sub" / "a.png", "memory://sub/a.png"
    write_bytes(str(local), encoded(plain(), "PNG"))
    write_bytes(twin, encoded(plain(8), "PNG"))
    lines = f"# twins\nsub/a.png\n{twin}\n{local}\n"  # the last line is the first one again
    (tmp_path / "list.txt").write_text(lines)
    kept, lost = list_images(str(tmp_path / "list.txt"))
    assert (kept.name, kept.url, kept.why_broken) == ("sub/a.png", str(local), None)
    with pytest.raises(UnreadableImageError) as caught:
        image_size(lost)
    assert caught.value.name == "sub/a.png of line 3"
    assert f"line 2 of the list file names another image of the same name, {local}" in str(
        caught.value
    )
    assert lost.url.startswith("memory:///sub/a.png")


def test_a_list_file_is_relative_to_itself(place: str) -> None:
    fill(place)
    lines = f"# a comment\nsub/a.JPG\n\n{join(place, 'b.png')}\nsub/a.JPG\n"
    write_bytes(join(place, "list.txt"), lines.encode())
    assert [ref.name for ref in list_images(join(place, "list.txt"))] == ["b.png", "sub/a.JPG"]
    write_bytes(join(place, "bad.txt"), b"b.png\nnowhere.png\n")
    with pytest.raises(SourceError, match=r"line 2: 'nowhere.png' does not exist"):
        list_images(join(place, "bad.txt"))


def test_links_are_what_they_lead_to(tmp_path: Path) -> None:
    write_bytes(str(tmp_path / "kept" / "a.png"), encoded(plain(), "PNG"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.png").symlink_to("../kept/a.png")
    (source / "folder").symlink_to("../kept")
    (tmp_path / "kept" / "loop").symlink_to("../source")  # and round again
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "gone.tar").symlink_to("nowhere.tar")
    refs = {ref.name: ref for ref in list_images(str(source))}
    assert sorted(refs) == ["a.png", "folder/a.png", "gone.png", "gone.tar"]
    for name in ("a.png", "folder/a.png"):
        assert image_size(refs[name]) == (20, 12)
        assert refs[name].bytes == (tmp_path / "kept" / "a.png").stat().st_size
    for name in ("gone.png", "gone.tar"):
        with pytest.raises(UnreadableImageError, match=f"{name}: a link that leads nowhere"):
            image_size(refs[name])
    assert [ref.name for ref in list_images(f"{source}/*.png")] == ["a.png", "gone.png"]


def test_one_file_is_a_source_of_one(place: str) -> None:
    fill(place)
    assert [ref.name for ref in list_images(join(place, "b.png"))] == ["b.png"]


def test_missing_and_empty_sources_say_what_to_do(place: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        list_images(join(place, "nowhere"))
    write_bytes(join(place, "notes.md"), b"x")
    with pytest.raises(SourceError, match=r"no images there.*\.png"):
        list_images(place)


def test_an_unreachable_bucket_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec
    from local_servers import free_port, s3_settings

    settings = {**s3_settings(free_port()), "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    with pytest.raises(SourceError, match=r"s3://bucket/x: cannot be reached .*endpoint"):
        list_images("s3://bucket/x")


def test_a_wrong_key_names_the_credentials(
    s3_server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setitem(fsspec.config.conf["s3"], "secret", "wrongwrongwrong")
    with pytest.raises(SourceError, match=r"access denied .*credentials"):
        list_images("s3://bucket/x")
