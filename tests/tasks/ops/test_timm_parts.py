import subprocess
import sys

CODE = """
import sys
import torch
at_once = torch.compiler.disable
from tasks.ops import timm_parts
import tasks.ops.vit
late = [name for name in ("torch._dynamo", "sympy", "triton") if name in sys.modules]
assert not late, late
assert torch.compiler.disable is at_once
from torchvision.ops.roi_align import is_compile_supported
from timm.models.naflexvit import NaFlexRopeIterator
print(is_compile_supported("cpu"))
from torch._dynamo.utils import counters, is_compile_supported as real
print(is_compile_supported("cpu") == real("cpu"))
doubled = torch.compiler.disable(lambda x: 2 * x)
print(doubled(3), timm_parts.timm.is_model("vit_small_patch16_224"))
"""


def test_the_compiler_comes_when_it_is_called_and_not_before() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["True", "True", "6", "True"]
