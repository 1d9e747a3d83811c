"""Golden losses: what a fixed set of small trainings gives, to the last bit.

`--out FILE` writes losses and hashes of the trained weights as they are here and now: `make golden BASE=<commit>` has
two checkouts do that on one machine and compares. `--write` renews tests/golden/losses.json, which the tests compare
within a tolerance, since machines differ in the last digits. Do that only where a change of the numbers is wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

STORED = ROOT / "tests" / "golden" / "losses.json"
STEPS = 12

COMMON: dict[str, Any] = {"duration.steps": STEPS, "optimizer.learning_rate": 0.01, "memory.precision": "fp32"}
# Options without effect on an architecture may stand here too: it ignores them, with a warning.
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "seed": 7,
        "batching.size": 2,
        "batching.gradient_accumulation_steps": 2,
        "datasets.0.num_repeats": 2,
        "datasets.0.trigger_word": "lory",
        "datasets.0.captions": {"shuffle": True, "keep_tokens": 1, "dropout_rate": 0.1, "tag_dropout_rate": 0.2},
        "datasets.0.augmentation.flip": True,
        "network": {"rank": 4, "alpha": 2.0, "dropout": 0.2, "conv_rank": 2, "conv_alpha": 1.0},
        "objective": {"min_snr_gamma": 5.0, "noise_offset": 0.1, "timestep_sampling": "uniform", "flow_shift": 2.0},
        "optimizer.max_grad_norm": 0.05,
        "schedule": {"type": "cosine", "warmup_steps": 3},
        "memory.gradient_checkpointing": True,
    },
    "text encoders": {
        "network": {"rank": 2, "train_text_encoders": True},
        "caching": {"latents": "off", "posterior": "mean"},
        "batching.buckets": {"resolution": 64, "mode": "no_upscale", "step": 16},
        "optimizer": {"type": "sgd", "learning_rate": 2.0, "text_encoder_learning_rate": 0.5},
        "schedule": {"type": "linear", "warmup_ratio": 0.25},
    },
}

# Settings of one architecture: what they are for has an effect there.
OF_ONE: dict[str, tuple[str, dict[str, Any]]] = {
    "noise": ("sd15", {"objective": {"noise_offset": 0.1, "noise_offset_random_strength": True, "ip_noise_gamma": 0.1,
                                     "multires_noise_iterations": 3, "debiased_estimation": True}}),
    "huber with SNR": ("sdxl", {"objective": {"loss_type": "huber", "huber_c": 0.2, "content_or_style": "style"}}),
    "velocity": ("sd15", {"model.prediction_type": "v_prediction", "model.zero_terminal_snr": True,
                          "objective": {"scale_v_pred_loss_like_noise_pred": True, "loss_type": "log_cosh"}}),
    "wavelet": ("flux1", {"objective": {"timestep_sampling": "logit_normal", "logit_mean": 0.5, "loss_type": "wavelet",
                                        "loss_weighting": "bell"}}),
    "picture from flow": ("flux1", {"objective": {"timestep_sampling": "mode", "model_prediction_type": "sigma_scaled",
                                                  "flow_shift": "resolution", "loss_type": "pseudo_huber"}}),
    "Prodigy and DoRA": ("sd15", {"optimizer": {"type": "prodigy"}, "network": {"rank": 2, "decompose": True}}),
    "schedule-free": ("sd15", {"optimizer": {"type": "adamw_schedule_free", "learning_rate": 0.01},
                               "schedule": {"type": "none"}}),
    "CAME and LoHa": ("sdxl", {"optimizer": {"type": "came", "learning_rate": 0.01},
                               "network": {"type": "loha", "rank": 2}}),
    "Adafactor and LoKr": ("flux1", {"optimizer": {"type": "adafactor", "learning_rate": 0.01},
                                     "network": {"type": "lokr", "rank": 2}}),
    "Muon, REX, EMA": ("sd15", {"optimizer": {"type": "muon", "learning_rate": 0.01}, "schedule": {"type": "rex"},
                                "ema": {"decay": 0.9}}),
    "Automagic": ("sdxl", {"optimizer": {"type": "automagic", "learning_rate": 1e-3, "lora_plus_ratio": 4.0},
                           "network": {"rank": 2, "train_text_encoders": True}}),
    "phases of alpha": ("flux1", {"optimizer": {"type": "lion", "learning_rate": 1e-3}, "alpha_schedule": {
        "preset": "custom", "transition": "ramp", "ramp_steps": 4,
        "linear": [{"name": "first", "alpha": 1.0, "min_steps": 4}, {"name": "second", "alpha": 2.0}]}}),
    "captions": ("sd15", {"datasets.0.captions": {
        "wildcards": True, "shuffle": True, "keep_tokens": 1, "token_warmup_steps": 6, "prefix": "a, ",
        "random_triggers": ["one", "two"], "replacements": {"red": "crimson"}},
        "text": {"weighted": True, "clip_skip": 2}}),
    "limits": ("sdxl", {"optimizer": {"type": "adamw", "learning_rate": 0.01, "max_grad_norm": 0.01,
                                      "clip_by": "adaptive"}, "network": {"rank": 2, "max_weight_norm": 0.05}}),
    "steps in the backward pass": ("sd15", {"optimizer": {
        "type": "adamw", "learning_rate": 0.01, "fused_backward_pass": True, "clip_by": "value",
        "max_grad_norm": 0.01, "block_rate_factors": {"input_blocks.3": 0.5}}}),
    "16 bits": ("flux1", {"memory": {"precision": "bf16", "adapter_precision": "bf16"}}),
    "preservation": ("sd15", {
        "datasets.0.trigger_word": "lory",
        "objective": {"diff_output_preservation": 0.5, "diff_output_preservation_class": "bird",
                      "blank_prompt_preservation": 0.5}}),
    "MeanFlow": ("flux1", {"objective": {"mean_flow_steps": 4}}),
    "contrastive guidance": ("sdxl", {"objective": {"guidance_loss_target": 3.0}}),
    "variants": ("sdxl", {"datasets.0.augmentation": {
        "flip": True, "random_crop": True, "zoom": 1.3, "colour": True, "variants": 3}}),
}  # fmt: skip


def settings_of(architecture: str) -> dict[str, dict[str, Any]]:
    """What is measured of an architecture, by name."""
    return SETTINGS | {name: setting for name, (mine, setting) in OF_ONE.items() if mine == architecture}


def measure(architecture: str, setting: str, folder: Path) -> dict[str, Any]:
    """Losses of every step, and the hash of the weights at the end. `folder` is empty and may be filled."""
    from loratory.networks.metadata import payload_sha256
    from tests.e2e.jobs import job, losses, train
    from tests.photos import write_photos
    from tests.tiny import TINY

    os.environ["LORATORY_HOME"] = str(folder / "home")
    model, photos = TINY[architecture](folder / "model"), write_photos(folder / "photos")
    # The payload hash has to tell of every bit that was learned.
    run = train(
        job(model, photos, folder / "out", COMMON | {"saving.precision": "fp32"} | settings_of(architecture)[setting])
    )
    found = losses(run)
    assert len(found) == STEPS
    return {"losses": found, "payload": payload_sha256(run.final_export_path)}


def measure_all() -> dict[str, dict[str, dict[str, Any]]]:
    """By architecture and setting."""
    import torch

    from tests.tiny import TINY

    torch.set_num_threads(1)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for architecture in TINY:
        for setting in settings_of(architecture):
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(architecture, {})[setting] = measure(architecture, setting, Path(folder))
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FILE", help="write what is measured here, to the last bit")
    what.add_argument("--write", action="store_true", help=f"renew {STORED.relative_to(ROOT)}")
    arguments = parser.parse_args()
    found = measure_all()
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return
    stored = {
        architecture: {setting: [float(f"{loss:.8g}") for loss in each["losses"]] for setting, each in settings.items()}
        for architecture, settings in found.items()
    }
    STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {STORED}. Look at the difference, and say in the commit why the numbers changed.")


if __name__ == "__main__":
    main()
