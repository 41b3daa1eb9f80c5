"""Qwen3-VL's forward for judging: prefix cache, KV cache, sampling."""
