"""The KV cache of replies that are generated together."""

from collections.abc import Callable
from typing import Any


class KVCache:
    """Keys and values, a row a reply, all prompts ending at one column; and what else a decoding step needs."""

    def __init__(self, config: Any, num_rows: int, num_columns: int, model: Any):
        import torch

        self.num_rows, self.num_columns = num_rows, num_columns
        shape = (num_rows, config.num_key_value_heads, num_columns, config.head_dim)
        layers = range(config.num_hidden_layers)
        self.keys = [torch.zeros(shape, dtype=model.dtype, device=model.device) for _ in layers]
        self.values = [torch.zeros(shape, dtype=model.dtype, device=model.device) for _ in layers]
        self.mask = torch.ones(num_rows, 1, 1, num_columns, dtype=torch.bool, device=model.device)
        self.tokens = torch.zeros(num_rows, dtype=torch.long, device=model.device)
        self.positions = torch.zeros(num_rows, dtype=torch.long, device=model.device)
        self.at = torch.zeros(1, dtype=torch.long, device=model.device)
        self.graph: Any = None
        self.logits: Any = None

    def capture(self, step: Callable[["KVCache"], Any]) -> None:
        """Record a step as a CUDA graph, after two runs on empty rows, which allocate what a capture must not."""
        import torch

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                step(self)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits = step(self)

    def copy(self, row: int, number: int, start: int, end: int) -> None:
        """Copy the row's columns `start` to `end` to the rows after it, so that `number` rows hold them."""
        for cached in (*self.keys, *self.values):
            cached[row + 1 : row + number, :, start:end] = cached[row, :, start:end]
