"""The GPU kernels: by Triton's interpreter everywhere, on the hardware where it is."""

import json
import os
import subprocess
import sys

import pytest
import timm
import torch
from torch.nn import functional as F

from tasks.ops import hopper
from tasks.ops.kinds import FacetRequest
from tasks.ops.vit import extract_facets

# Lengths below, at and beyond whole tiles; a boost of some keys that no anchor foresees.
CASES = [(70, 70, 1.0), (128, 128, 1.0), (33, 33, 400.0), (200, 130, 400.0)]
INTERPRETED = f"""
import contextlib, json, torch
from torch.nn import functional as F
from tasks.ops import hopper
torch.cuda.device = lambda _: contextlib.nullcontext()
torch.manual_seed(0)
errors = []
for count, length, boost in {CASES}:
    q, k, v = (torch.randn(2, n, 3, 64).transpose(1, 2) for n in (count, length, length))
    k[:, :, :5] *= boost
    found = hopper.attention(q, k, v)
    errors.append((found - F.scaled_dot_product_attention(q, k, v)).abs().max().item())
    assert found.shape == q.shape and found.transpose(1, 2).is_contiguous()
x, shift, weight, bias = torch.randn(9, 48), *torch.randn(3, 48)
expected = F.layer_norm(x + shift, (48,), weight, bias, 1e-6)
errors.append((hopper.shifted_norm(x, shift, weight, bias, 1e-6) - expected).abs().max().item())
print(json.dumps(errors))
"""
on_hopper = pytest.mark.skipif(
    not (torch.cuda.is_available() and hopper.is_hopper(torch.device("cuda"))),
    reason="needs a Hopper GPU",
)


def test_the_kernels_compute_what_pytorch_does() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert max(json.loads(done.stdout)) < 1e-4


def test_only_what_the_kernel_was_made_for_goes_to_it() -> None:
    good = torch.zeros(1, 100, 2, 64, dtype=torch.bfloat16).transpose(1, 2)
    assert hopper.fits_attention(good, good, good)
    for other in (
        good.half(),
        good[..., :32],  # 32 channels a head
        torch.zeros(1, 100, 2, 65, dtype=torch.bfloat16).transpose(1, 2)[..., 1:],  # not aligned
        torch.zeros(1, 2, 64, 100, dtype=torch.bfloat16).transpose(2, 3),  # channels far apart
    ):
        assert not hopper.fits_attention(other, other, other)
    assert not hopper.is_hopper(torch.device("cpu"))


@on_hopper
@pytest.mark.parametrize(("count", "length", "boost"), [*CASES, (3026, 3026, 1.0)])
def test_attention_on_the_hardware(count: int, length: int, boost: float) -> None:
    torch.manual_seed(0)
    sizes = (count, length, length)
    q, k, v = (torch.randn(2, n, 3, 64, device="cuda").transpose(1, 2) for n in sizes)
    k[:, :, :5] *= boost
    q, k, v = (part.bfloat16() for part in (q, k, v))
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    found = hopper.attention(q, k, v).double()
    assert ((found - exact).norm() / exact.norm()).item() < 0.01


@on_hopper
@pytest.mark.parametrize("name", ["vit_small_patch8_224", "vit_small_patch14_dinov2"])
def test_a_fused_pass_on_the_hardware_agrees_with_float32(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, img_size=224).eval().cuda()
    images = torch.randn(2, 3, 224, 168, device="cuda")
    requests = [FacetRequest(11, "key"), FacetRequest(9, "token"), FacetRequest(11, "normed_token")]
    stride = (model.patch_embed.patch_size[0] // 2,) * 2
    exact = extract_facets(model, images, requests, stride=stride, attention_layer=11)
    half = extract_facets(
        model.bfloat16(), images.bfloat16(), requests, stride=stride, attention_layer=11
    )
    for request in requests:
        cosine = F.cosine_similarity(half.facets[request].float(), exact.facets[request], dim=-1)
        assert cosine.min().item() > 0.999
    assert half.attention is not None
    assert exact.attention is not None
    torch.testing.assert_close(half.attention, exact.attention, rtol=0.05, atol=1e-4)
