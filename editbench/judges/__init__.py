"""Judges: each is shown an edit and asked for a number."""

from editbench.judges.judge import Judge, Message, Reply
from editbench.judges.qwen_vl import QwenVL
from editbench.judges.recorded import Recorded
from editbench.judges.server import Server
from editbench.judges.vllm import VLLM

__all__ = ["VLLM", "Judge", "Message", "QwenVL", "Recorded", "Reply", "Server"]
