"""The fast path of the Qwen-Image editors: the same edits up to rounding, on the same weights, in less time."""

from editbench.models.qwen_image.pipeline import WIDEST, reachable_timesteps, speed_up, why_not

__all__ = ["WIDEST", "reachable_timesteps", "speed_up", "why_not"]
