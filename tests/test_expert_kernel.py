"""The kernel for the experts of few tokens against transformers' own, in Triton's interpreter: no GPU needed."""

import os
import subprocess
import sys

CHECK = """
from types import SimpleNamespace
import torch
from transformers.integrations.moe import batched_mm_experts_forward
from editbench.judges.expert_kernel import few_tokens

torch.manual_seed(0)
experts, width, inner, top_k = 8, 96, 40, 3
layer = SimpleNamespace(
    num_experts=experts, has_gate=True, has_bias=False, is_transposed=False, has_post_expert_norm=False,
    _is_expert_parallel=False,
    gate_up_proj=torch.randn(experts, 2 * inner, width) / 10, down_proj=torch.randn(experts, width, inner) / 10,
)
layer._apply_gate = lambda both: torch.nn.functional.silu(both[:, :inner]) * both[:, inner:]
for tokens in (1, 5, 40):  # 40 tokens of 3 experts each: more than one tile for some expert
    x, shares = torch.randn(tokens, width), torch.rand(tokens, top_k)
    chosen = torch.stack([torch.randperm(experts)[:top_k] for _ in range(tokens)])
    expected = batched_mm_experts_forward(layer, x, chosen, shares)
    torch.testing.assert_close(few_tokens(layer, x, chosen, shares), expected, rtol=1e-5, atol=1e-5)
"""


def test_few_tokens_come_out_as_transformers_multiplies_them():
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", CHECK], env=environment, check=True)
