"""Train the bundled text-to-image model from nothing, on pictures drawn by `loratory.demo.drawing`.

    python scripts/demo_model/train.py WORK_FOLDER [--vae-steps N] [--unet-steps N]

Two CPU cores need about an hour and a half; every stage leaves its result in WORK_FOLDER and is skipped when the
result is there, and the denoiser goes on from its last snapshot. `export.py` turns the result into the package's
fp16 folder. The losses are in WORK_FOLDER/*.jsonl; docs/demo-model.md is the record of the run that shipped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tokenizer import make_tokenizer
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).parents[2]))
from loratory.demo import drawing

TEXT_WIDTH = 128


def log(folder: Path, stage: str, **values: float) -> None:
    line = {"time": round(time.time()), **{k: round(v, 5) for k, v in values.items()}}
    with (folder / f"{stage}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(stage, line, flush=True)


# Pictures -------------------------------------------------------------------------------------------------


def draw_block(start: int, count: int, clutter: bool) -> tuple[np.ndarray, list[list[str]]]:
    """`count` pictures as uint8 (count, 3, 128, 128), and four wordings of the caption of each."""
    random = np.random.default_rng([7, start, int(clutter)])
    pictures = np.empty((count, 3, drawing.SIZE, drawing.SIZE), np.uint8)
    captions = []
    for i in range(count):
        scene = drawing.training_scene(random)
        picture = drawing.draw_scene(scene, random)
        if clutter:  # several shapes on top of each other: teaches the autoencoder more than one shape can
            for _ in range(int(random.integers(2, 7))):
                other = drawing.draw_scene(drawing.random_scene(random), random)
                part = drawing.random_scene(random)
                x, y = random.uniform(0.1, 0.9, 2)
                mask = drawing.shape_mask(part.shape, x, y, random.uniform(0.04, 0.3), drawing.SIZE * 2).reduce(2)
                picture.paste(other, mask=mask)
        pictures[i] = np.asarray(picture).transpose(2, 0, 1)
        captions.append([drawing.caption(scene, random) for _ in range(4)])
    return pictures, captions


def draw_all(count: int, clutter: bool) -> tuple[np.ndarray, list[list[str]]]:
    block = 500
    with ProcessPoolExecutor(2) as pool:
        starts = range(0, count, block)
        blocks = list(pool.map(draw_block, starts, [block] * len(starts), [clutter] * len(starts)))
    return np.concatenate([b[0] for b in blocks]), [caption for b in blocks for caption in b[1]]


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 to float in -1..1."""
    return torch.from_numpy(pictures).float() / 127.5 - 1


# Autoencoder ----------------------------------------------------------------------------------------------


def make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=drawing.SIZE,
        scaling_factor=1.0,
    )


def edges(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pictures.diff(dim=2), pictures.diff(dim=3)


def start_linear(vae: AutoencoderKL) -> None:
    """Initial weights from which so small an autoencoder learns in minutes.

    Kaiming weights keep the signal's size on the straight path, branches start at zero, and the posterior starts
    narrow. With PyTorch's defaults the colours had not appeared after 200 steps; with these they have.
    """
    for name, module in vae.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        if name.endswith(("conv2", "to_out.0")):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    vae.quant_conv.bias.data[4:] -= 5


def train_vae(folder: Path, pictures: np.ndarray, steps: int, batch: int = 16, rate: float = 3e-3) -> None:
    """The first nine tenths on 64-pixel pieces (four times as many steps a minute), the rest on whole pictures."""
    torch.manual_seed(1)
    vae = make_vae()
    start_linear(vae)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.03)
    random = np.random.default_rng(2)
    for step in range(1, steps + 1):
        side = 64 if step <= 0.9 * steps else drawing.SIZE
        top, left = random.integers(0, drawing.SIZE - side + 1, size=2)
        part = pictures[random.integers(len(pictures), size=batch), :, top : top + side, left : left + side]
        x = to_tensor(np.ascontiguousarray(part))
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(x).latent_dist
            y = vae.decode(posterior.sample()).sample
        y = y.float()
        pixel = functional.l1_loss(y, x)
        edge = torch.stack([functional.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True)]).sum()
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        loss = pixel + functional.mse_loss(y, x) + 0.5 * edge + 5e-4 * divergence
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 100 == 0 or step == steps:
            log(folder, "vae", step=step, pixel=pixel.item(), edge=edge.item(), divergence=divergence.item(),
                norm=norm.item())  # fmt: skip
    whiten(vae, pictures[:1000])
    vae.eval().save_pretrained(folder / "vae")


@torch.no_grad()
def whiten(vae: AutoencoderKL, pictures: np.ndarray) -> None:
    """Fold a linear map into the two 1×1 convolutions around the latents, so that over the training pictures the
    latents have mean 0 and covariance 1. Noise is then equally strong in every direction, and `scaling_factor` is 1.
    """
    means = torch.cat([vae.encode(to_tensor(part)).latent_dist.mean for part in np.array_split(pictures, 40)])
    flat = means.permute(0, 2, 3, 1).reshape(-1, means.shape[1]).double()
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    white = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    colour = vectors @ torch.diag(values.sqrt()) @ vectors.T
    quant, post = vae.quant_conv, vae.post_quant_conv
    weight, bias = quant.weight[:4, :, 0, 0].double(), quant.bias[:4].double()
    quant.weight[:4, :, 0, 0] = (white @ weight).float()
    quant.bias[:4] = (white @ (bias - mean)).float()
    # The log-variance half is per channel; scaling it by the mean gain keeps the posterior's width about right.
    quant.bias[4:] += 2 * torch.log(white.diagonal()).float()
    weight, bias = post.weight[:, :, 0, 0].double(), post.bias.double()
    post.weight[:, :, 0, 0] = (weight @ colour).float()
    post.bias.copy_((weight @ mean + bias).float())


@torch.no_grad()
def encode_all(vae: AutoencoderKL, pictures: np.ndarray) -> torch.Tensor:
    """Posterior means of all pictures, float16 (N, 4, 16, 16)."""
    parts = []
    for part in np.array_split(pictures, max(1, len(pictures) // 50)):
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(vae.encode(to_tensor(part)).latent_dist.mean.half())
    return torch.cat(parts)


# Denoiser and text encoder --------------------------------------------------------------------------------


def make_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=drawing.SIZE // 8,
        block_out_channels=(80, 128, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=TEXT_WIDTH * 4,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            projection_dim=TEXT_WIDTH,
        )
    )


def make_scheduler() -> DDIMScheduler:
    """Velocity prediction with zero terminal SNR (Lin et al. 2023): plain backgrounds are all low frequencies, and
    these are what the usual schedule never teaches because it leaves some of the picture visible at the last step."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    For weights of two and more dimensions; convolutions count as matrices (out, in·height·width). The factor
    0.2·√(longer side) gives updates of AdamW's usual size (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.01})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                average = state.setdefault("momentum", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonal(weight.grad.lerp(average, group["momentum"]).flatten(1))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(update.view_as(weight), alpha=group["lr"] * 0.2 * max(update.shape) ** 0.5)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """About U·Vᵀ of the singular value decomposition, by five Newton-Schulz steps with Jordan's coefficients."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return (x if wide else x.T).float()


def make_optimizers(models: torch.nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices; AdamW for embeddings, vectors and the first and last convolution."""
    hidden, rest = [], []
    for name, weight in models.named_parameters():
        matrix = weight.ndim >= 2 and not any(part in name for part in ("embedding", "conv_in", "conv_out"))
        (hidden if matrix else rest).append(weight)
    return [Muon(hidden, rate), torch.optim.AdamW(rest, 8e-4, betas=(0.9, 0.99), weight_decay=0.01, fused=True)]


def load_start(models: torch.nn.ModuleDict, start: Path) -> None:
    """Take the weights of an exported folder, to train a finished model further."""
    for name, kind, part in (("unet", UNet2DConditionModel, "unet"), ("text", CLIPTextModel, "text_encoder")):
        loaded = kind.from_pretrained(start, subfolder=part, torch_dtype=torch.float32)
        models[name].load_state_dict(loaded.state_dict())


def train_unet(folder: Path, latents: torch.Tensor, captions: list[list[str]], steps: int, batch: int = 48,
               rate: float = 1.5e-3, start: Path | None = None) -> None:  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokens = torch.tensor(
        tokenizer([c for four in captions for c in four], padding="max_length", max_length=77).input_ids
    ).view(len(captions), -1, 77)
    empty = torch.tensor(tokenizer("", padding="max_length", max_length=77).input_ids)
    torch.manual_seed(3)
    models = torch.nn.ModuleDict({"unet": make_unet(), "text": make_text_encoder(tokenizer)})
    if start is not None:
        load_start(models, start)
    ema = torch.optim.swa_utils.AveragedModel(
        models, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=False
    )
    scheduler = make_scheduler()
    optimizers = make_optimizers(models, rate)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, step / 100) * max(0.02, min(1.0, (steps - step) / (0.6 * steps)))
        )
        for optimizer in optimizers
    ]
    snapshot, first, losses = folder / "unet.pt", 1, []
    if snapshot.exists():
        state = torch.load(snapshot, weights_only=True)
        models.load_state_dict(state["models"])
        ema.load_state_dict(state["ema"])
        for part, stored in zip([*optimizers, *schedules], [*state["optimizers"], *state["schedules"]], strict=True):
            part.load_state_dict(stored)
        first = state["step"] + 1
    for step in range(first, steps + 1):
        random = np.random.default_rng([4, step])
        torch.manual_seed(step)
        rows = torch.from_numpy(random.integers(len(latents), size=batch))
        x0 = latents[rows].float()
        ids = tokens[rows, torch.from_numpy(random.integers(tokens.shape[1], size=batch))]
        ids[torch.from_numpy(random.random(batch) < 0.1)] = empty
        noise = torch.randn_like(x0)
        # Stratified timesteps: every batch covers the whole range evenly, which makes the gradient calmer.
        t = torch.from_numpy(((np.arange(batch) + random.random(batch)) * 1000 / batch).astype(np.int64))
        noisy = scheduler.add_noise(x0, noise, t)
        target = scheduler.get_velocity(x0, noise, t)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = models["text"](ids).last_hidden_state
            prediction = models["unet"](noisy, t, hidden).sample
        loss = functional.mse_loss(prediction.float(), target)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(models.parameters(), 1.0)
        for part in [*optimizers, *schedules]:
            part.step()
        models.zero_grad()
        ema.update_parameters(models)
        losses.append(loss.item())
        if step % 50 == 0:
            log(folder, "unet", step=step, loss=float(np.mean(losses[-50:])), norm=norm.item())
        if step % 250 == 0 or step == steps:
            parts = [part.state_dict() for part in optimizers], [part.state_dict() for part in schedules]
            state = {"step": step, "models": models.state_dict(), "ema": ema.state_dict()}
            torch.save({**state, "optimizers": parts[0], "schedules": parts[1]}, snapshot.with_suffix(".tmp"))
            snapshot.with_suffix(".tmp").replace(snapshot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=24_000)
    parser.add_argument("--vae-steps", type=int, default=4500)
    parser.add_argument("--unet-steps", type=int, default=4200)
    parser.add_argument("--start", type=Path, help="an exported folder to go on from; its autoencoder is kept")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer(folder / "tokenizer")
    make_scheduler().save_pretrained(folder / "scheduler")
    if options.start is not None and not (folder / "vae").exists():
        AutoencoderKL.from_pretrained(options.start, subfolder="vae", torch_dtype=torch.float32).save_pretrained(
            folder / "vae"
        )
    if not (folder / "latents.pt").exists():
        pictures, captions = draw_all(options.pictures, clutter=False)
        if not (folder / "vae").exists():
            clutter, _ = draw_all(options.pictures // 4, clutter=True)
            train_vae(folder, np.concatenate([pictures[: options.pictures // 2], clutter]), options.vae_steps)
        vae = AutoencoderKL.from_pretrained(folder / "vae")
        torch.save({"latents": encode_all(vae, pictures), "captions": captions}, folder / "latents.pt")
        del pictures
    stored = torch.load(folder / "latents.pt", weights_only=True)
    train_unet(folder, stored["latents"], stored["captions"], options.unet_steps, start=options.start)


if __name__ == "__main__":
    main()
