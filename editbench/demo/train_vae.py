"""Part one: the autoencoder learns to keep a picture in one thirty-second of its sides."""

from pathlib import Path
from typing import Any

from editbench.demo import bank
from editbench.demo.models import LATENT_CHANNELS, build_vae
from editbench.demo.norm_kernel import norm_silu
from editbench.demo.painting import paint_fast, resize
from editbench.demo.pairs import EVALUATION_SEEDS, PICTURE_SIZE
from editbench.demo.session import Session, device, mixed
from editbench.one_frame import one_frame

SIDE = 1024
"""Of what the pipeline gives the autoencoder, pixels."""
WHOLE_FROM = 0.65
"""The share of the time after which training goes over to whole pictures."""
NOISE = 0.1
"""Added to latents of unit variance, so that the decoder forgives a denoiser's small errors."""


def pictures(tables: Any, side: int = SIDE) -> Any:
    """Tables of shapes as the autoencoder sees them: drawn at a source's size, scaled up, -1 to 1."""
    return resize(paint_fast(tables, min(PICTURE_SIZE, side)), side) * 2 - 1


def encode(vae: Any, images: Any) -> Any:
    """Pictures to latents, (pictures, channels, height, width)."""
    hidden = vae.encoder(images[:, :, None])
    return vae.quant_conv(hidden)[:, :LATENT_CHANNELS, 0]


def decode(vae: Any, latents: Any) -> Any:
    """Latents to pictures, not clamped."""
    return vae.decoder(vae.post_quant_conv(latents[:, :, None]))[:, :, 0]


def prepare(vae: Any, on: str) -> Any:
    """Make it fast; and shut the encoder's attention, so that a latent depends on its surroundings alone."""
    vae = one_frame(vae.to(on))
    for attention in vae.encoder.mid_block.attentions:
        for parameter in attention.parameters():
            parameter.requires_grad_(False)
        attention.proj.weight.zero_()
        attention.proj.bias.zero_()
    if on == "cuda":
        fuse_norms(vae)
    return vae


def fuse_norms(vae: Any) -> None:
    """Fuse each residual block's norm and activation into one kernel."""
    from types import MethodType

    import torch
    from diffusers.models.autoencoders.autoencoder_kl_qwenimage import QwenImageResidualBlock

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
    import torch

    with torch.no_grad():
        latents = torch.cat(
            [encode(vae, pictures(tables[rows].to(on), side)) for rows in bank.batches(len(tables), 16)]
        )
        mean, deviation = latents.float().mean((0, 2, 3)), latents.float().std((0, 2, 3))
        last = vae.quant_conv
        last.weight[:LATENT_CHANNELS] /= deviation[:, None, None, None, None]
        last.bias[:LATENT_CHANNELS] = (last.bias[:LATENT_CHANNELS] - mean) / deviation
        for module in vae.modules():
            if type(module).__name__ == "QwenImageCausalConv3d" and module.weight.shape[2] > 1:
                # never reached on one frame: zero packs well
                module.weight[:, :, :-1] = 0


def train_decoder(folder: Path, *, total_s: float, call_s: float, side: int = SIDE) -> bool:
    """Train a finished autoencoder's decoder alone: its latents, which the editor learnt, stay as they are."""
    return train(folder, total_s=total_s, call_s=call_s, side=side, decoder_only=True)


def train(
    folder: Path,
    *,
    total_s: float,
    call_s: float,
    batch: int = 8,
    num_edits: int = 12000,
    side: int = SIDE,
    decoder_only: bool = False,
) -> bool:
    """Train, or go on; True when it is finished and `vae.weights.pt` is written."""
    import torch

    from editbench.demo.muon import optimisers_of_convolutions

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
    tables = torch.from_numpy(data.tables[:, 1:].reshape(-1, *data.tables.shape[2:]))
    held_out = torch.from_numpy(bank.fill(EVALUATION_SEEDS + 10**6, 64, all_results=False).tables[:, 1]).to(on)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    with torch.no_grad():
        vae = prepare(build_vae(), on)
    start = folder / ("vae.weights.pt" if decoder_only else "vae.start.pt")
    if decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    learning = {name: parameter for name, parameter in vae.named_parameters() if parameter.requires_grad}
    optimisers = optimisers_of_convolutions(learning.items(), fused=on == "cuda")
    state = {"vae": vae, "muon": optimisers[0], "adam": optimisers[1]}
    if not session.restore(**state) and start.exists():
        vae.load_state_dict(torch.load(start, map_location=on, weights_only=True))
    session.log(parameters=sum(p.numel() for p in vae.parameters()), pictures=len(tables))

    def through(images: Any, noise: float) -> Any:
        latents = encode(vae, images).float()
        if decoder_only:
            return decode(vae, latents + noise * torch.randn_like(latents)).float()
        # whitened by the batch: without it the decoder stays at the mean picture for hundreds of steps
        latents = (latents - latents.mean((0, 2, 3), keepdim=True)) / (latents.std((0, 2, 3), keepdim=True) + 1e-4)
        return decode(vae, latents + noise * torch.randn_like(latents)).float()

    while session.goes_on:
        # most of the time on quarters of a picture, cut where the latents' squares are cut: more steps for the time
        whole = session.progress > WHOLE_FROM or side < SIDE
        rows = torch.randint(len(tables), (batch if whole else 2 * batch,))
        images = pictures(tables[rows].to(on, non_blocking=True), side)
        if not whole:
            top, left = (int(at) for at in torch.randint(SIDE // 64 + 1, (2,)) * 32)
            images = images[:, :, top : top + SIDE // 2, left : left + SIDE // 2]
        images = images.contiguous(memory_format=torch.channels_last)
        for optimiser in optimisers:
            session.schedule(optimiser)
        with mixed(on):
            again = through(images, NOISE)
        difference = again - images
        # most of a picture is sky and ground: what stands out from its surroundings counts more
        around = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(images, 64), scale_factor=64.0)
        weight = 1 + 4 * (images - around).abs().mean(1, keepdim=True)
        loss = (weight * (difference.abs() + 2 * difference.square())).mean()
        vae.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning.values(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        session.step += 1
        if session.step % 500 == 0:
            with torch.no_grad(), mixed(on):
                images = pictures(held_out[:16], side)
                error = (through(images, NOISE).clamp(-1, 1) - images).square()
            local = torch.nn.functional.avg_pool2d(error.mean(1, keepdim=True), side // 16).amax((1, 2, 3)).mean()
            session.log(loss=float(loss.detach()), held_out_mse=float(error.mean()), worst_block_mse=float(local))
    session.save(**state)
    if session.progress < 1:
        return False
    if not decoder_only:
        with mixed(on):
            fold_whitening(vae, tables[torch.randperm(len(tables))[:256]], on, side)
    torch.save({name: value.to(torch.bfloat16) for name, value in vae.state_dict().items()}, folder / "vae.weights.pt")
    return True


def load(folder: Path, on: str) -> Any:
    """The finished autoencoder, ready for fast single pictures."""
    import torch

    vae = build_vae()
    vae.load_state_dict(torch.load(folder / "vae.weights.pt", map_location="cpu", weights_only=True))
    with torch.no_grad():
        return prepare(vae, on).requires_grad_(False)
