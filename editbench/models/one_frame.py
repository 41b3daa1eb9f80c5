"""Qwen-Image's autoencoder on single pictures: the same sums with fewer multiplications."""

from types import MethodType
from typing import Any


def one_frame(vae: Any) -> Any:
    """Switch a loaded `AutoencoderKLQwenImage` to single pictures; it gives the same up to rounding.

    The autoencoder is a video's: each convolution is 3D and causal, so that on one picture two of its three slices
    multiply padding; one 2D convolution with the last slice gives the same sums. A root mean square needs no detour
    over `F.normalize`, which is slow across channels. Its time convolutions, which a single picture never reaches,
    stay as they are.
    """
    from diffusers.models.autoencoders import autoencoder_kl_qwenimage as stock

    for name, module in vae.named_modules():
        if isinstance(module, stock.QwenImageCausalConv3d) and "time_conv" not in name:
            module.forward = MethodType(_convolve, module)
        elif isinstance(module, stock.QwenImageRMS_norm) and module.channel_first:
            module.forward = MethodType(_normalise, module)
    return vae


def _convolve(self: Any, x: Any, cache_x: Any = None) -> Any:
    import torch.nn.functional as F

    left, right, top, bottom = self._padding[:4]
    weight, frame = self.weight[:, :, -1], x[:, :, 0]
    if left == right == top == bottom:
        return F.conv2d(frame, weight, self.bias, self.stride[1:], left).unsqueeze(2)
    return F.conv2d(F.pad(frame, (left, right, top, bottom)), weight, self.bias, self.stride[1:]).unsqueeze(2)


def _normalise(self: Any, x: Any) -> Any:
    inverse = x.float().square().sum(1, keepdim=True).clamp_min(1e-24).rsqrt() * self.scale
    return (x * inverse.to(x.dtype)) * self.gamma + self.bias
