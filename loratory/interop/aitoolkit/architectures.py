"""ai-toolkit's names of architectures, and what it does for each beyond what a job file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from loratory.config.architectures import get_spec
from loratory.config.architectures.base import ArchitectureSpec
from loratory.errors import UserError


@dataclass(frozen=True)
class Arch:
    """One of their architectures that is here, too."""

    ours: str
    theirs: str
    """The name that is written."""
    step: int
    """What sides of their buckets divide by, in pixels."""
    more_layers: str = ""
    """A regular expression for layers that their LoRA has and ours has by default not: theirs takes all linear layers
    (and 1×1 convolutions) in the blocks."""
    without_them: tuple[str, ...] = ()
    """Texts that leave just these layers out, as entries of ignore_if_contains."""
    told_guidance: float = 7.0
    """Usual guidance of samples, where the model is told it."""
    kwargs: Mapping[str, str] = field(default_factory=dict)
    """Their model_kwargs that mean something here: the component of model.parts."""

    @property
    def spec(self) -> ArchitectureSpec:
        return get_spec(self.ours)

    @property
    def usual_scale(self) -> float:
        """Of `guidance_field` in samples, where a job says none."""
        return self.told_guidance if self.guidance_field == "guidance" else self.spec.sample_scale

    @property
    def has_other_names(self) -> bool:
        """Do layers have other names in the original model than in diffusers?"""
        return self.spec.fuses_layers

    @property
    def is_flow(self) -> bool:
        return self.spec.objective == "flow"

    @property
    def honours_alpha(self) -> bool:
        """Their LoRA for transformers has alpha := rank, whatever the file says."""
        return self.spec.denoiser == "unet"

    @property
    def guidance_field(self) -> str:
        """Which of our sampling fields their guidance_scale is."""
        return "guidance" if "guidance" in self.spec.pipeline_arguments else "scale"


_UNET_LAYERS = r"/^unet\..*(time_emb_proj|conv_shortcut|(time|add)_embedding\.linear_[12])$/"
_UNET_TEXTS = ("time_emb", "conv_shortcut", "add_embedding")
_LISTED = (
    Arch("sd15", "sd1", 16, _UNET_LAYERS, _UNET_TEXTS),
    Arch("sd2", "sd2", 16, _UNET_LAYERS, _UNET_TEXTS),
    Arch("sdxl", "sdxl", 16, _UNET_LAYERS, _UNET_TEXTS),
    Arch("sd3", "sd3", 32),
    Arch("flux1", "flux", 32, told_guidance=3.5),
    Arch("chroma", "chroma", 32),
    Arch("chroma_radiance", "chroma_radiance", 32),
    Arch("lumina2", "lumina2", 16),
    Arch("hidream", "hidream", 16, r"/_stream_blocks\..*(\.ff_i\.experts\.|\.adaLN_modulation\.)/",
         ("ff_i.experts", "adaLN_modulation"), kwargs={"llama_model_path": "text_encoder_4"}),
    Arch("omnigen2", "omnigen2", 16),
    Arch("qwen_image", "qwen_image", 32, r"/^transformer\..*\.(img|txt)_mod\./", ("img_mod", "txt_mod")),
    Arch("zimage", "zimage", 16),
    Arch("flux2", "flux2", 16, told_guidance=4.0),
    Arch("flux2_klein", "flux2_klein_4b", 16),
)  # fmt: skip
BY_OURS = {each.ours: each for each in _LISTED}
_OTHER_NAMES = {"sd15": "sd15", "flex1": "flux1", "flux2_klein_9b": "flux2_klein"}
_BY_THEIRS = {each.theirs: each for each in _LISTED} | {name: BY_OURS[ours] for name, ours in _OTHER_NAMES.items()}

NOT_HERE = frozenset({
    "ssd", "vega", "pixart", "pixart_sigma", "auraflow", "flux_kontext", "flex2", "zeta_chroma", "hidream_e1",
    "hidream_o1", "qwen_image_edit", "qwen_image_edit_plus", "wan21", "wan21_i2v", "wan22_5b", "wan22_14b",
    "wan22_14b_i2v", "zimage_l2p", "anima", "krea2", "ltx2", "ltx2.3", "ltx2.5", "minimax_h3", "minimax_h3_ref2va",
    "ernie_image", "nucleus_image", "ideogram4", "prx_pixel", "mageflow", "mageflow_edit", "boogu_image",
    "boogu_image_edit", "f-lite", "cogview4", "ace_step_15", "ace_step_15_xl",
})  # fmt: skip
_FLAGS = {"is_xl": "sdxl", "is_flux": "flux", "is_lumina2": "lumina2", "is_v3": "sd3", "is_v2": "sd2",
          "is_pixart": "pixart", "is_pixart_sigma": "pixart_sigma", "is_auraflow": "auraflow", "is_ssd": "ssd",
          "is_vega": "vega"}  # fmt: skip
FLAGS = tuple(_FLAGS)


def arch_of(model: Mapping[str, Any], source: str, path: str) -> Arch:
    """The architecture of their `model` section: `arch`, else a flag such as `is_flux`, else Stable Diffusion 1.5.

    What stands behind a colon is dropped, as there: it names files, which name_or_path does here.
    Raises UserError for one that is not here, and for one that nobody knows, which their program takes for
    Stable Diffusion 1.5 without a word.
    """
    given = model.get("arch")
    if given is not None and not isinstance(given, str):
        raise UserError(f"{source}: {path}.arch must be a name; it is {given!r}.")
    set_flags = [flag for flag in FLAGS if model.get(flag)]
    named = {_FLAGS[flag] for flag in set_flags}
    if given is None and len(named) > 1:
        raise UserError(f"{source}: {path} has {' and '.join(set_flags)}; a model is one of them.")
    name = given.partition(":")[0] if given else next(iter(named), "sd1")
    found = _BY_THEIRS.get(name)
    if found is not None:
        return found
    where = f"{source}: {path}.{'arch' if given else set_flags[0]}: {name!r}"
    titles = ", ".join(sorted(_BY_THEIRS))
    if name in NOT_HERE:
        raise UserError(f"{where} cannot be trained here yet; of ai-toolkit's there are {titles}.")
    near = get_close_matches(name, _BY_THEIRS, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {titles}."
    raise UserError(f"{where} is no architecture that ai-toolkit or Loratory knows; {meant}")
