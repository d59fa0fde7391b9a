"""One pass against timm's own forward, the original code's numbers and literal formulas."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import LayerNorm, SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor, nn

from tasks.ops import vit
from tasks.ops.kinds import FACETS, FacetRequest
from tasks.ops.vit import check_model, extract_facets
from tasks.ops.vit_embed import embed, resize_positions
from tasks.ops.vit_fused import FusedStream, fused_blocks
from tasks.ops.vit_packed import packed_blocks

PATCH, SIDE, DIM, HEADS, DEPTH = 8, 32, 48, 3, 3
TINY: dict[str, Any] = {
    "img_size": SIDE,
    "patch_size": PATCH,
    "embed_dim": DIM,
    "depth": DEPTH,
    "num_heads": HEADS,
    "num_classes": 0,
}
# A head's width must divide by 4 for rotary embeddings: 16 does.
DINOV3: dict[str, Any] = {
    "use_rot_pos_emb": True,
    "rope_type": "dinov3",
    "rope_temperature": 100,
    "rope_rotate_half": True,
    "use_abs_pos_emb": False,
    "num_reg_tokens": 4,
    "init_values": 0.1,
    "global_pool": "token",
    "use_fc_norm": False,
}
EVA02: dict[str, Any] = {
    "qkv_fused": False,
    "swiglu_mlp": True,
    "scale_mlp": True,
    "scale_attn_inner": True,
    "use_rot_pos_emb": True,
    "ref_feat_shape": (2, 2),
}
FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "dino": partial(VisionTransformer, **TINY),
    "supervised": partial(VisionTransformer, **TINY, global_pool="avg"),
    "mae": partial(VisionTransformer, **TINY, global_pool="avg", fc_norm=False),
    "deit-distilled": partial(VisionTransformerDistilled, **TINY),
    "registers": partial(VisionTransformer, **TINY, reg_tokens=2),
    "siglip": partial(VisionTransformer, **TINY, class_token=False, global_pool="map"),
    "no-cls-avg": partial(VisionTransformer, **TINY, class_token=False, global_pool="avg"),
    "no-cls-registers": partial(
        VisionTransformer, **TINY, class_token=False, global_pool="avg", reg_tokens=2
    ),
    "clip": partial(
        VisionTransformer, **TINY, pre_norm=True, norm_layer=partial(LayerNorm, eps=1e-5)
    ),
    "qk-norm": partial(VisionTransformer, **TINY, qk_norm=True, scale_attn_norm=True),
    "dinov2": partial(VisionTransformer, **TINY, init_values=0.1),
    "dinov2-giant-registers": partial(
        VisionTransformer,
        **TINY,
        init_values=0.1,
        reg_tokens=4,
        no_embed_class=True,
        mlp_layer=SwiGLUPacked,
        mlp_ratio=5.33334,
    ),
    "dinov3": partial(Eva, **TINY, **DINOV3, qkv_bias=False),
    "dinov3-qkvb": partial(Eva, **TINY, **DINOV3, qkv_bias=True),
    "eva02": partial(Eva, **TINY, **EVA02),
    "eva-fused-bias": partial(Eva, **TINY, use_rot_pos_emb=True),
    "rope-mixed": partial(
        Eva,
        **TINY,
        attn_type="rope",
        use_rot_pos_emb=True,
        rope_type="mixed",
        rope_temperature=10,
        use_fc_norm=False,
    ),
    "grouped-queries": partial(
        Eva,
        **TINY,
        attn_type="rope",
        use_rot_pos_emb=True,
        rope_type="dinov3",
        qkv_fused=False,
        num_kv_heads=1,
        qk_norm=True,
        init_values=0.1,
        attn_only_layer_scale=True,
    ),
}


def tiny(family: str, **settings: Any) -> Any:
    """A small model whose every parameter is random, so that no part can be left out unseen."""
    model = FAMILIES[family](**settings).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.25 * noise + (1.0 if parameter.ndim == 1 else 0.0) * 0.5)
    return model


def pictures(count: int = 2, height: int = SIDE, width: int = SIDE) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny(request.param)


def everything(model: Any, images: Tensor, **settings: Any) -> Any:
    requests = [FacetRequest(layer, facet) for layer in range(DEPTH) for facet in FACETS]
    stride = settings.pop("stride", (PATCH, PATCH))
    return extract_facets(model, images, requests, stride=stride, **settings)


def close(actual: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


class Seen:
    """What timm itself computes inside its attention: unfused, caught on the way."""

    def __init__(self, model: Any, images: Tensor) -> None:
        self.query: list[Tensor] = []
        self.key: list[Tensor] = []
        self.value: list[Tensor] = []
        self.matrix: list[Tensor] = []
        hooks = []
        for block in model.blocks:
            attn = block.attn
            attn.fused_attn = False
            hooks += [
                attn.q_norm.register_forward_pre_hook(lambda _, x: self.query.append(x[0])),
                attn.k_norm.register_forward_pre_hook(lambda _, x: self.key.append(x[0])),
                attn.attn_drop.register_forward_pre_hook(lambda _, x: self.matrix.append(x[0])),
                attn.register_forward_pre_hook(lambda a, x: self.value.append(value_of(a, x[0]))),
            ]
        with torch.no_grad():
            model.forward_features(images)
        for hook in hooks:
            hook.remove()


def value_of(attn: Any, tokens: Tensor) -> Tensor:
    """W_v x + b_v, from the weights."""
    if attn.qkv is None:
        return attn.v_proj(tokens)
    weight = attn.qkv.weight[2 * DIM :]
    bias = attn.qkv.bias[2 * DIM :] if attn.qkv.bias is not None else None
    if bias is None and getattr(attn, "v_bias", None) is not None:
        bias = attn.v_bias
    product = tokens @ weight.T
    return product if bias is None else product + bias


def merged(heads: Tensor) -> Tensor:
    """(B, h, n, d) to (B, n, h * d)."""
    return heads.transpose(1, 2).flatten(2)


def patches(model: Any, tokens: Tensor, grid: tuple[int, int] = (4, 4)) -> Tensor:
    """Without the prefix, on the grid: (B, rows, cols, D)."""
    return tokens[:, model.num_prefix_tokens :].unflatten(1, grid)


def test_tokens_are_timms_own(model: Any) -> None:
    images = pictures()
    found = everything(model, images)
    with torch.no_grad():
        plain = model.forward_intermediates(images, intermediates_only=True)
        final = model.forward_features(images)
        if isinstance(model.norm, nn.Identity):
            final = model.fc_norm(final)
    for layer, expected in enumerate(plain):
        close(found.facets[FacetRequest(layer, "token")], expected.permute(0, 2, 3, 1))
    last = FacetRequest(DEPTH - 1, "normed_token")
    close(found.facets[last], patches(model, final))
    if model.cls_token is not None:
        close(found.cls[last], final[:, 0])
    else:
        assert found.cls == {}


def test_the_final_norm_is_a_norm_in_every_layer(model: Any) -> None:
    found = everything(model, pictures())
    norm = model.fc_norm if isinstance(model.norm, nn.Identity) else model.norm
    for layer in range(DEPTH):
        token = found.facets[FacetRequest(layer, "token")]
        normed = found.facets[FacetRequest(layer, "normed_token")]
        mean, variance = token.mean(-1, keepdim=True), token.var(-1, keepdim=True, correction=0)
        expected = (token - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
        close(normed, expected, 1e-4)


def test_projections_are_those_inside_timms_attention(model: Any) -> None:
    images = pictures()
    found, seen = everything(model, images), Seen(model, images)
    for layer in range(DEPTH):
        close(found.facets[FacetRequest(layer, "query")], patches(model, merged(seen.query[layer])))
        close(found.facets[FacetRequest(layer, "key")], patches(model, merged(seen.key[layer])))
        close(found.facets[FacetRequest(layer, "value")], patches(model, seen.value[layer]))
        if model.cls_token is not None:
            close(found.cls[FacetRequest(layer, "key")], merged(seen.key[layer])[:, 0])


@pytest.mark.parametrize("layer", [0, DEPTH - 1])
def test_attention_is_a_row_of_timms_matrix(model: Any, layer: int) -> None:
    images = pictures()
    token = FacetRequest(DEPTH - 1, "token")
    found = extract_facets(
        model, images, [token], stride=(PATCH, PATCH), attention_layer=layer
    ).attention
    matrix = Seen(model, images).matrix[layer]  # (B, h, n, n)
    prefix = model.num_prefix_tokens
    assert found.dtype == torch.float32
    assert (found >= 0).all()
    if model.cls_token is not None:
        close(found, matrix[:, :, 0, prefix:].unflatten(-1, (4, 4)))
        # What is missing to 1 goes to the prefix tokens.
        close(found.flatten(2).sum(-1) + matrix[:, :, 0, :prefix].sum(-1), torch.ones(2, HEADS))


@pytest.mark.parametrize("name", ["siglip", "no-cls-avg", "no-cls-registers"])
def test_without_cls_the_mean_query_of_the_patches_attends(name: str) -> None:
    model, images = tiny(name), pictures()
    found = extract_facets(model, images, [], stride=(PATCH, PATCH), attention_layer=2).attention
    seen = Seen(model, images)
    prefix = model.num_prefix_tokens
    query = seen.query[2][:, :, prefix:].mean(dim=2, keepdim=True)
    logits = query @ seen.key[2].transpose(-2, -1) * (DIM // HEADS) ** -0.5
    close(found, logits.softmax(-1)[:, :, 0, prefix:].unflatten(-1, (4, 4)))


@pytest.mark.parametrize("name", ["dinov3", "eva02", "rope-mixed", "qk-norm", "grouped-queries"])
def test_attended_queries_and_keys_give_timms_matrix(name: str) -> None:
    model, images = tiny(name), pictures()
    found = everything(model, images, attended=True)
    seen = Seen(model, images)
    prefix, width = model.num_prefix_tokens, DIM // HEADS
    for layer in range(DEPTH):
        query, key = (
            found.facets[FacetRequest(layer, facet)].flatten(1, 2).unflatten(-1, (-1, width))
            for facet in ("query", "key")
        )
        query, key = query.transpose(1, 2), key.transpose(1, 2).expand(-1, HEADS, -1, -1)
        ours = (query @ key.transpose(-2, -1) * width**-0.5).softmax(-1)
        theirs = seen.matrix[layer][:, :, prefix:, prefix:]
        close(ours, theirs / theirs.sum(-1, keepdim=True), 1e-4)
        # The rotation and the norms change something, or this test would prove nothing.
        assert not torch.allclose(query, seen.query[layer][:, :, prefix:], atol=1e-2)


def test_a_batch_gives_what_single_images_give(model: Any) -> None:
    images = pictures(3)
    together = everything(model, images, attention_layer=1)
    for i in range(3):
        alone = everything(model, images[i : i + 1], attention_layer=1)
        for request, values in together.facets.items():
            close(values[i], alone.facets[request][0])
        for request, values in together.cls.items():
            close(values[i], alone.cls[request][0])
        close(together.attention[i], alone.attention[0])


def test_stopping_early_changes_nothing(model: Any) -> None:
    images = pictures()
    full = everything(model, images, attention_layer=1)
    for facet in FACETS:
        request = FacetRequest(1, facet)
        single = extract_facets(model, images, [request], stride=(PATCH, PATCH))
        assert list(single.facets) == [request]
        close(single.facets[request], full.facets[request])
        assert single.attention is None
    only = extract_facets(model, images, [], stride=(PATCH, PATCH), attention_layer=1)
    assert only.facets == {}
    close(only.attention, full.attention)


def test_no_layer_beyond_the_last_one_asked_for_runs() -> None:
    model = tiny("qk-norm")  # whose blocks run as they are, hooks and all
    ran: list[int] = []
    for i, block in enumerate(model.blocks):
        block.norm1.register_forward_hook(lambda *_, i=i: ran.append(i))
        block.norm2.register_forward_hook(lambda *_, i=i: ran.append(10 + i))
    extract_facets(model, pictures(), [FacetRequest(1, "key")], stride=(PATCH, PATCH))
    assert ran == [0, 10, 1]  # of the second block only the first norm


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"deit-distilled"}))
def test_other_sizes_are_timms_own_where_timm_can_do_them(family: str) -> None:
    images = pictures(2, height=40, width=56)
    still, dynamic = tiny(family), tiny(family, dynamic_img_size=True)
    found = everything(still, images, position_resize="timm")
    with torch.no_grad():
        plain = dynamic.forward_intermediates(images, intermediates_only=True)
    for layer, expected in enumerate(plain):
        assert expected.shape == (2, DIM, 5, 7)
        close(found.facets[FacetRequest(layer, "token")], expected.permute(0, 2, 3, 1))


def test_a_grid_of_equal_area_has_its_own_rotation() -> None:
    images = pictures(2, height=16, width=64)  # 2 x 8 patches, the native grid is 4 x 4
    model = tiny("eva02")
    found = everything(model, images).facets[FacetRequest(2, "token")]
    with torch.no_grad():
        expected = tiny("eva02", dynamic_img_size=True).forward_intermediates(
            images, intermediates_only=True
        )
    close(found, expected[2].permute(0, 2, 3, 1))
    assert tuple(model.rope.feat_shape) == (4, 4)  # the model itself is left alone


@pytest.mark.parametrize("stride", [(4, 4), (2, 8), (8, 1)])
def test_a_smaller_stride_holds_the_native_patches(stride: tuple[int, int]) -> None:
    model, images = tiny("siglip"), pictures(2, 40, 32)
    model.pos_embed = None
    native, _, grid = embed(model, images, (PATCH, PATCH), "timm")
    assert grid == (5, 4)
    dense, _, fine = embed(model, images, stride, "timm")
    assert fine == (1 + (40 - PATCH) // stride[0], 1 + (32 - PATCH) // stride[1])
    every = dense.unflatten(1, fine)[:, :: PATCH // stride[0], :: PATCH // stride[1]]
    close(every, native.unflatten(1, grid))
    # A patch in between: the convolution written out.
    weight, bias = model.patch_embed.proj.weight, model.patch_embed.proj.bias
    window = images[0, :, stride[0] : stride[0] + PATCH, :PATCH]
    close(dense.unflatten(1, fine)[0, 1, 0], (weight * window).sum((1, 2, 3)) + bias)


def test_pixels_beyond_the_last_whole_step_are_ignored() -> None:
    model = tiny("dino")
    a = pictures(1, 37, 39)
    b = a[:, :, :32, :32]
    close(
        everything(model, a).facets[FacetRequest(2, "key")],
        everything(model, b).facets[FacetRequest(2, "key")],
    )


def cubic(x: float, a: float = -0.75) -> float:
    """Keys' kernel."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def resize_row(row: np.ndarray, size: int, scale: float, antialias: bool) -> np.ndarray:
    """Bicubic in one dimension from the definition; scale: input samples an output sample."""
    out = np.zeros(size)
    for i in range(size):
        centre = (i + 0.5) * scale
        if antialias:
            support = max(scale, 1.0)
            span = range(len(row))
            weights = np.array([cubic((j + 0.5 - centre) / support, -0.5) for j in span])
            out[i] = (weights * row).sum() / weights.sum()
        else:
            base = int(np.floor(centre - 0.5))
            for j in range(base - 1, base + 3):
                out[i] += cubic(centre - 0.5 - j) * row[min(max(j, 0), len(row) - 1)]
    return out


@pytest.mark.parametrize("grid", [(3, 4), (9, 5), (4, 11), (13, 12)])
@pytest.mark.parametrize("mode", ["timm", "dinov2", "dino"])
def test_position_resize_against_the_definition(mode: Any, grid: tuple[int, int]) -> None:
    native = (6, 8)
    positions = np.random.default_rng(0).normal(size=(*native, 2))
    found = resize_positions(torch.tensor(positions)[None], grid, mode)[0].numpy()
    scales = [n0 / n for n0, n in zip(native, grid, strict=True)]
    if mode == "dino":
        scales = [n0 / (n + 0.1) for n0, n in zip(native, grid, strict=True)]
    antialias = mode == "timm"
    expected = np.zeros((*grid, 2))
    for c in range(2):
        rows = [resize_row(r, grid[1], scales[1], antialias) for r in positions[..., c]]
        columns = np.array(rows).T
        expected[..., c] = np.array(
            [resize_row(k, grid[0], scales[0], antialias) for k in columns]
        ).T
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("mode", ["timm", "dinov2", "dino"])
def test_positions_of_the_native_grid_stay_as_they_are(mode: Any) -> None:
    positions = torch.randn(1, 5, 6, 4)
    assert resize_positions(positions, (5, 6), mode) is positions


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["dino", "dinov2", "dinov3", "rope-mixed", "siglip"])
def test_half_precision_points_the_same_way(name: str, precision: torch.dtype) -> None:
    images = pictures()
    exact = everything(tiny(name), images, attention_layer=2)
    half = everything(tiny(name).to(precision), images.to(precision), attention_layer=2)
    for request, values in exact.facets.items():
        assert half.facets[request].dtype == precision
        cosine = nn.functional.cosine_similarity(values, half.facets[request].float(), dim=-1)
        assert cosine.min() >= 0.999, request
    assert half.attention.dtype == torch.float32


@pytest.mark.data
def test_original_dino_code_gave_these_numbers(golden: Path) -> None:
    data = np.load(golden / "vit_facets.npz")
    weights = {k.removeprefix("weights/"): torch.tensor(data[k]) for k in data if "weights/" in k}
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=48, depth=4, num_heads=3, num_classes=0
    ).eval()
    model.load_state_dict(weights)
    image = torch.tensor(data["image"])
    for stride in (8, 4, 2):
        facets = ("key", "query", "value", "token")
        requests = [FacetRequest(layer, facet) for layer in (1, 3) for facet in facets]
        found = extract_facets(
            model,
            image,
            requests,
            stride=(stride, stride),
            position_resize="dino",
            attention_layer=3,
        )
        rows, cols = data[f"stride{stride}/grid"]
        for request in requests:
            expected = data[f"stride{stride}/layer{request.layer}/{request.facet}"]
            assert found.facets[request].shape == (1, rows, cols, 48)
            ours = found.facets[request][0].flatten(0, 1).numpy()
            np.testing.assert_allclose(ours, expected, atol=1e-4)
        attention = found.attention[0].flatten(1).numpy()
        expected = data[f"stride{stride}/layer3/cls_attention"]
        np.testing.assert_allclose(attention, expected, atol=1e-4)


@pytest.mark.parametrize("layers", [[3], [-1], [0, 7], []])
def test_layers_that_the_model_lacks(layers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"layers must lie in 0\.\.2 for this model; got"):
        extract_facets(
            tiny("dino"), pictures(), [FacetRequest(n, "key") for n in layers], stride=(8, 8)
        )


def test_what_is_no_plain_vit_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Linear is not supported: expected a timm Vision"):
        check_model(nn.Linear(2, 2))
    post_norm = VisionTransformer(**TINY, block_fn=ResPostBlock)
    with pytest.raises(TypeError, match="pre-norm blocks with plain or rotary attention"):
        check_model(post_norm)
    with pytest.raises(TypeError, match="pre-norm blocks"):
        check_model(Eva(**TINY, use_post_norm=True))
    with pytest.raises(TypeError, match="pre-norm blocks"):
        check_model(VisionTransformer(**TINY, attn_layer="diff"))


def test_all_families_are_accepted_and_differ(model: Any) -> None:
    check_model(model)
    found = everything(model, pictures()).facets
    for a, b in pairwise([found[FacetRequest(i, "token")] for i in range(DEPTH)]):
        assert not torch.allclose(a, b, atol=0.1)


@pytest.mark.parametrize("family", ["dino", "dinov2", "registers"])
def test_the_fused_blocks_compute_the_same(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = tiny(family), pictures()
    plain = everything(model, images, attention_layer=1)
    blocks = fused_blocks(model)
    assert blocks is not None
    monkeypatch.setattr(vit, "packed_blocks", lambda _model: None)
    close(
        everything(model, images).facets[FacetRequest(2, "key")],
        plain.facets[FacetRequest(2, "key")],
    )
    monkeypatch.setattr(
        vit, "_open_stream", lambda _model, tokens, _rope: FusedStream(model, blocks, tokens)
    )
    fused = everything(model, images, attention_layer=1)
    for request, values in plain.facets.items():
        close(fused.facets[request], values)
        close(fused.cls[request], plain.cls[request])
    close(fused.attention, plain.attention)


@pytest.mark.parametrize("family", ["dino", "dinov2", "registers"])
def test_the_packed_blocks_compute_the_same(family: str) -> None:
    model, images = tiny(family), pictures()
    plain = everything(model, images, attention_layer=1)
    half = model.bfloat16()
    assert packed_blocks(half) is not None
    packed = everything(half, images.bfloat16(), attention_layer=1)
    for request, values in plain.facets.items():
        error = (packed.facets[request].float() - values).norm() / values.norm()
        assert error < 0.03, request
    assert (packed.attention - plain.attention).abs().max() < 0.02


def test_only_plain_blocks_are_fused_and_changed_weights_are_seen() -> None:
    for family in ("qk-norm", "dinov2-giant-registers", "dinov3", "eva02"):
        assert fused_blocks(tiny(family)) is None
    model = tiny("dino")
    first = fused_blocks(model)
    assert fused_blocks(model) is first
    with torch.no_grad():
        model.blocks[0].attn.proj.bias.add_(1.0)
    second = fused_blocks(model)
    assert first is not None
    assert second is not None
    close(second[0].shift2, first[0].shift2 + 1)


def test_positions_are_resized_once_a_grid_and_again_when_they_change() -> None:
    model, images = tiny("dino"), pictures(1, 40, 56)
    first = embed(model, images, (PATCH, PATCH), "dino")[0]
    close(embed(model, images, (PATCH, PATCH), "dino")[0], first)
    with torch.no_grad():
        model.pos_embed.add_(1.0)
    close(embed(model, images, (PATCH, PATCH), "dino")[0], first + 1)
