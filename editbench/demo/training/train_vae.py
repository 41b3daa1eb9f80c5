"""Part one: the autoencoder learns to keep a picture in one thirty-second of its sides."""

from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import QwenImageCausalConv3d, QwenImageResidualBlock

from editbench.demo.training import bank
from editbench.demo.training.models import LATENT_CHANNELS, build_vae
from editbench.demo.training.muon import optimisers_of_convolutions
from editbench.demo.training.norm_kernel import norm_silu
from editbench.demo.training.painting import paint_fast, resize
from editbench.demo.training.pairs import EVALUATION_SEEDS, PICTURE_SIZE
from editbench.demo.training.session import Session, device, mixed
from editbench.models.one_frame import one_frame

SIDE = 1024
"""Of what the pipeline gives the autoencoder, pixels."""
PHASES = ((0.0, 256, 32), (0.55, 512, 16), (0.8, 1024, 8))
"""From which share of the time on, the side of what is cut out of each picture, pixels, and how many a step: steps are
what it lacks, and half as many pixels a step are twice as many steps."""
CELL = 32
"""The side of what one latent stands for, pixels."""
NOISE = 0.1
"""Added to latents of unit variance, so that the decoder forgives a denoiser's small errors."""


def pictures(tables: Any, side: int = SIDE, cut: tuple[Any, Any] | None = None) -> Any:
    """Tables of shapes as the autoencoder sees them: drawn at a source's size, scaled up, -1 to 1.

    Args:
        tables: (pictures, shapes, numbers).
        side: of the whole picture, pixels.
        cut: which rows and which columns of it are wanted; None: all.
    """
    return resize(paint_fast(tables, min(PICTURE_SIZE, side)), side, cut=cut) * 2 - 1


def encode(vae: Any, images: Any) -> Any:
    """Pictures to latents, (pictures, channels, height, width)."""
    hidden = vae.encoder(images[:, :, None])
    return vae.quant_conv(hidden)[:, :LATENT_CHANNELS, 0]


def decode(vae: Any, latents: Any) -> Any:
    """Latents to pictures, not clamped."""
    return vae.decoder(vae.post_quant_conv(latents[:, :, None]))[:, :, 0]


def prepare(vae: Any, on: str) -> Any:
    """Make it fast; and shut the encoder's attention, so that a latent depends on its surroundings alone.

    Its convolutions are 3D and causal in time: of each, one frame meets the last third, which alone is kept and learns.
    """
    vae = one_frame(vae.to(on))
    with torch.no_grad():
        for attention in vae.encoder.mid_block.attentions:
            for parameter in attention.parameters():
                parameter.requires_grad_(False)
            attention.proj.weight.zero_()
            attention.proj.bias.zero_()
    for module in vae.modules():
        if isinstance(module, QwenImageCausalConv3d):
            last = module.weight.detach()[:, :, -1].contiguous(memory_format=torch.channels_last)
            module.weight = torch.nn.Parameter(last)
            module.forward = MethodType(_convolve, module)
    if on == "cuda":
        fuse_norms(vae)
    return vae


def _convolve(self: Any, x: Any, cache_x: Any = None) -> Any:
    return F.conv2d(x[:, :, 0], self.weight, self.bias, self.stride[1:], self._padding[0]).unsqueeze(2)


def with_time(vae: Any) -> dict[str, Any]:
    """The weights of a prepared autoencoder as diffusers has them, bf16: what no single frame reaches is zero."""
    state = {name: value.to(torch.bfloat16) for name, value in vae.state_dict().items()}
    for name, module in vae.named_modules():
        if isinstance(module, QwenImageCausalConv3d):
            last = state[f"{name}.weight"]
            state[f"{name}.weight"] = F.pad(last.contiguous()[:, :, None], (0, 0, 0, 0, module.kernel_size[0] - 1, 0))
    return state


def fuse_norms(vae: Any) -> None:
    """Fuse each residual block's norm and activation into one kernel."""

    def forward(self: Any, x: Any) -> Any:
        # one frame: without its axis, channels last stays what it is
        return norm_silu(x[:, :, 0].bfloat16(), self.gamma, self.scale).unsqueeze(2)

    for module in vae.modules():
        if isinstance(module, QwenImageResidualBlock):
            module.norm1.forward = MethodType(forward, module.norm1)
            module.norm2.forward = MethodType(forward, module.norm2)
            module.nonlinearity = torch.nn.Identity()


def fold_whitening(vae: Any, tables: Any, on: str, side: int) -> None:
    """Make the latents' mean 0 and their deviation 1 part of the encoder's last layer."""
    with torch.no_grad():
        latents = torch.cat(
            [encode(vae, pictures(tables[rows].to(on), side)) for rows in bank.batches(len(tables), 16)]
        )
        mean, deviation = latents.float().mean((0, 2, 3)), latents.float().std((0, 2, 3))
        last = vae.quant_conv
        last.weight[:LATENT_CHANNELS] /= deviation[:, None, None, None]
        last.bias[:LATENT_CHANNELS] = (last.bias[:LATENT_CHANNELS] - mean) / deviation


class Lesson(torch.nn.Module):
    """What one step learns from: pictures drawn, cut, encoded, decoded and compared."""

    def __init__(self, vae: Any, cut: int, whole: int, *, decoder_only: bool) -> None:
        """Share the autoencoder's weights.

        Args:
            vae: of `prepare`.
            cut: the side of what is cut out of each picture, pixels.
            whole: the side of the picture.
            decoder_only: whether the latents are finished, and so are not whitened here.
        """
        super().__init__()
        self.vae, self.whole, self.decoder_only = vae, whole, decoder_only
        self.register_buffer("along", torch.arange(cut, device=next(vae.parameters()).device), persistent=False)

    def through(self, images: Any) -> Any:
        """Pictures to latents, with noise, and back to pictures."""
        latents = encode(self.vae, images).float()
        if not self.decoder_only:
            # whitened by the batch: without it the decoder stays at the mean picture for hundreds of steps
            latents = latents - latents.mean((0, 2, 3), keepdim=True)
            latents = latents / (latents.std((0, 2, 3), keepdim=True) + 1e-4)
        return decode(self.vae, latents + NOISE * torch.randn_like(latents)).float()

    def forward(self, tables: Any, top: Any, left: Any) -> Any:
        """The loss over these tables' pictures, cut at (top, left), each (1,), pixels."""
        with torch.no_grad():
            images = pictures(tables, self.whole, (top + self.along, left + self.along))
            images = images.contiguous(memory_format=torch.channels_last)
        with mixed(tables.device.type):
            again = self.through(images)
        difference = again - images
        # most of a picture is sky and ground: what stands out from its surroundings counts more
        around = F.interpolate(F.avg_pool2d(images, 64), scale_factor=64.0)
        weight = 1 + 4 * (images - around).abs().mean(1, keepdim=True)
        return (weight * (difference.abs() + 2 * difference.square())).mean()


def train_decoder(folder: Path, *, total_s: float, call_s: float, side: int = SIDE) -> bool:
    """Train a finished autoencoder's decoder alone: its latents, which the editor learnt, stay as they are."""
    return train(folder, total_s=total_s, call_s=call_s, side=side, decoder_only=True)


def train(
    folder: Path,
    *,
    total_s: float,
    call_s: float,
    num_edits: int = 12000,
    side: int = SIDE,
    decoder_only: bool = False,
) -> bool:
    """Train, or go on; True when it is finished and `vae.weights.pt` is written."""
    session = Session(
        "decoder" if decoder_only else "vae",
        folder,
        total_s=total_s,
        call_s=call_s,
        learning_rate=1.5e-3 if decoder_only else 3e-3,
    )
    data = bank.fill(0, num_edits, all_results=True)
    on = device()
    # every picture an editor might hand in, right or wrong
    tables = torch.from_numpy(data.tables[:, 1:].reshape(-1, *data.tables.shape[2:])).to(on)
    held_out = torch.from_numpy(bank.fill(EVALUATION_SEEDS + 10**6, 64, all_results=False).tables[:, 1]).to(on)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    vae = build_vae()
    start = folder / ("vae.weights.pt" if decoder_only else "vae.start.pt")
    if start.exists():
        vae.load_state_dict(torch.load(start, map_location="cpu", weights_only=True))
    vae = prepare(vae, on)
    if decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    learning = {name: parameter for name, parameter in vae.named_parameters() if parameter.requires_grad}
    optimisers = optimisers_of_convolutions(learning.items(), fused=on == "cuda")
    state = {"vae": vae, "muon": optimisers[0], "adam": optimisers[1]}
    session.restore(**state)
    session.log(parameters=sum(p.numel() for p in vae.parameters()), pictures=len(tables))

    whole = Lesson(vae, side, side, decoder_only=decoder_only)

    def measure() -> dict[str, float]:
        with torch.no_grad(), mixed(on):
            images = pictures(held_out[:16], side)
            error = (whole.through(images).clamp(-1, 1) - images).square()
        worst = F.avg_pool2d(error.mean(1, keepdim=True), side // 16).amax((1, 2, 3)).mean()
        return {"held_out_mse": float(error.mean()), "worst_block_mse": float(worst)}

    def drawn(cut: int, count: int) -> tuple[Any, Any, Any]:
        rows = torch.randint(len(tables), (count,), device=on)
        at = CELL * torch.randint(max(side - cut, 0) // CELL + 1, (2,), device=on)  # where the latents' squares are cut
        return tables[rows], at[:1], at[1:]

    lesson: Any = None
    cut, count = 0, 0
    while session.goes_on:
        now = next((cut, count) for since, cut, count in reversed(PHASES) if session.progress >= since)
        if lesson is None or now != (cut, count):
            cut, count = now
            lesson = Lesson(vae, min(cut, side), side, decoder_only=decoder_only)
            if on == "cuda":
                vae.zero_grad()
                # a step is a thousand small kernels: launched one by one they would take longer than they run
                lesson = torch.cuda.make_graphed_callables(lesson, drawn(cut, count), allow_unused_input=True)
        for optimiser in optimisers:
            session.schedule(optimiser)
        vae.zero_grad()
        loss = lesson(*drawn(cut, count))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning.values(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        session.step += 1
        if session.step % 500 == 0:
            session.log(loss=float(loss.detach()), **measure())
    session.save(**state)
    if session.progress < 1:
        return False
    session.log(**measure())
    if not decoder_only:
        with mixed(on):
            fold_whitening(vae, tables[torch.randperm(len(tables))[:256].to(on)], on, side)
    torch.save(with_time(vae), folder / "vae.weights.pt")
    return True


def load(folder: Path, on: str) -> Any:
    """The finished autoencoder, ready for fast single pictures."""
    vae = build_vae()
    vae.load_state_dict(torch.load(folder / "vae.weights.pt", map_location="cpu", weights_only=True))
    return prepare(vae, on).requires_grad_(False)
