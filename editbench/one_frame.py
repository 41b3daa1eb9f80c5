"""Qwen-Image's autoencoder on single pictures: the same sums with fewer multiplications."""

from types import MethodType
from typing import Any


def one_frame(vae: Any) -> Any:
    """Switch a loaded `AutoencoderKLQwenImage` to single pictures; it gives the same up to rounding.

    The autoencoder is a video's: each convolution is 3D and causal, so that on one picture two of its three slices
    multiply padding; one 2D convolution with the last slice gives the same sums. Its time convolutions, which a
    single picture never reaches, stay as they are.
    """
    from diffusers.models.autoencoders.autoencoder_kl_qwenimage import QwenImageCausalConv3d

    for name, module in vae.named_modules():
        if isinstance(module, QwenImageCausalConv3d) and "time_conv" not in name:
            module.forward = MethodType(_convolve, module)
    return vae


def _convolve(self: Any, x: Any, cache_x: Any = None) -> Any:
    import torch.nn.functional as F

    frame = F.pad(x[:, :, 0], self._padding[:4])
    return F.conv2d(frame, self.weight[:, :, -1], self.bias, self.stride[1:]).unsqueeze(2)
