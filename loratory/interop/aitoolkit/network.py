"""Their `network` section: the adapter, its layers, and alpha in phases."""

from __future__ import annotations

from typing import Any

from loratory.interop.aitoolkit.context import Making
from loratory.interop.aitoolkit.notes import Section

_TYPES: dict[str, dict[str, Any]] = {
    "lora": {"type": "lora"},
    "lierla": {"type": "lora"},
    "locon": {"type": "lora"},
    "lycoris": {"type": "lora"},
    "dora": {"type": "lora", "decompose": True},
    "lokr": {"type": "lokr"},
}
ALPHA_SWITCH = "--set network.alpha=auto"
SCHEDULE_SWITCHES = "--set alpha_schedule.rule=ai-toolkit --set alpha_schedule.transition=jump"


def read_network(job: Making) -> None:
    network = job.process.section("network")
    if not network.given:
        job.notes.refuse(f"{job.process.path}.network", "is missing, which asks for training the whole model; here "
                         "only LoRA and its kin are trained")  # fmt: skip
        return
    kind = str(network.get("type", "lora")).lower()
    if kind not in _TYPES:
        known = kind in ("lorm", "fullrank")
        job.notes.refuse(f"{network.path}.type", f"{kind} is {'not here' if known else 'no network of ai-toolkit'}; "
                         f"there are {', '.join(_TYPES)}")  # fmt: skip
        return
    job.data.setdefault("network", {}).update(_TYPES[kind])
    if kind == "lokr":
        _lokr(job, network)
    _rank(job, network)
    _layers(job, network)
    if "pretrained_lora_path" in network:
        job.put("network.start_from", job.place(str(network.get("pretrained_lora_path"))))
    if network.section("alpha_schedule").given:
        _alpha_schedule(job, network)


def _rank(job: Making, network: Section) -> None:
    """Rank and alpha. For transformers theirs has alpha := rank; here a number that is given counts."""
    key = "rank" if "rank" in network else "linear"
    rank = network.number(key, 4)
    is_full = job.data["network"].get("full_matrix", False)
    if not is_full:
        job.put("network.rank", rank)
    if key == "rank":
        network.say("dead", "linear", "rank counts where both are given")
    given = next((name for name in ("linear_alpha", "alpha") if name in network), None)
    if is_full:
        network.say("dead", "linear", "lokr_full_rank takes whole matrices")
        network.say("dead", "linear_alpha", "lokr_full_rank takes whole matrices")
    elif given is None:
        job.put("network.alpha", 1.0 if job.arch.honours_alpha else "auto")
    else:
        alpha = network.number(given, 1.0)
        job.put("network.alpha", float(alpha))
        if not job.arch.honours_alpha and alpha != rank:
            title = job.arch.spec.title
            network.say("mapped", given, f"counts here: strength {alpha / rank:g}. ai-toolkit takes no notice of it "
                        f"for {title} and trains at strength 1; for that: {ALPHA_SWITCH}")  # fmt: skip
        if given == "linear_alpha":
            network.say("dead", "alpha", "linear_alpha counts where both are given")
    _convolutions(job, network, is_full)


def _convolutions(job: Making, network: Section, is_full: bool) -> None:
    if not job.arch.spec.convolution_groups:
        for key in ("conv", "conv_alpha"):
            network.say("dead", key, f"{job.arch.spec.title} has no convolutions that are trained")
        return
    if "conv" not in network:
        network.say("dead", "conv_alpha", "has no effect without conv")
        return
    job.put("network.conv_rank", network.number("conv", 0))
    if "conv_alpha" in network and not is_full:
        job.put("network.conv_alpha", float(network.number("conv_alpha", 1.0)))


def _lokr(job: Making, network: Section) -> None:
    job.put("network.factor", network.number("lokr_factor", -1))
    if network.flag("lokr_full_rank", True):
        job.put("network.full_matrix", True)
        if "lokr_full_rank" not in network:
            path = f"{network.path}.lokr_full_rank"
            job.notes.say("mapped", path, "is on where a file does not say otherwise, as in ai-toolkit itself; files "
                          "of the relaxis fork mean --set network.full_matrix=false")  # fmt: skip


def _layers(job: Making, network: Section) -> None:
    """Which layers: all linear ones in the blocks, which is more than ours for some models."""
    kwargs = network.section("network_kwargs")
    ignored = kwargs.texts("ignore_if_contains")
    extra = job.arch.without_them
    if kwargs.flag("attn_only"):
        job.put("network.targets.preset", "attn-only")
    elif extra and set(extra) <= set(ignored):
        # The same layers as ours without more words.
        ignored = [text for text in ignored if text not in extra]
    elif extra:
        job.put("network.targets.also_if_contains", [job.arch.more_layers])
    if ignored:
        job.put("network.targets.ignore_if_contains", ignored)
    for key in ("ignore_if_contains", "only_if_contains", "full_if_contains"):
        _say_names(job, kwargs, key)


def _say_names(job: Making, kwargs: Section, key: str) -> None:
    """Where theirs has the original model's names of layers, texts that ours lack would silently fit nothing."""
    if kwargs.given.get(key) and job.arch.spec.aitoolkit_names == "native" and job.arch.has_other_names:
        kwargs.say("mapped", key, f"is looked for in diffusers' names of {job.arch.spec.title}'s layers here, in the "
                   "original names there; `loratory network preview` shows what it finds")  # fmt: skip


def _alpha_schedule(job: Making, network: Section) -> None:
    """Alpha in phases (relaxis). Its phases move convolutions only, which transformers have not."""
    given = network.section("alpha_schedule")
    if not given.flag("enabled"):
        network.say("default", "alpha_schedule")
        return
    linear = given.number("linear_alpha", 16)
    if job.data["network"].get("conv_rank") is None:
        job.put("network.alpha", float(linear))
        network.say("mapped", "alpha_schedule", f"its phases move convolutions, of which there are none to train here; "
                    f"what is left is alpha {linear:g} for all layers. Its files left that out, so that other "
                    "programs loaded them at strength 1; ours are loaded as they were trained")  # fmt: skip
        given.say("dead", "conv_alpha_phases", "there are no convolutions to train")
        return
    known = ("enabled", "linear_alpha", "conv_alpha_phases")
    schedule = {"conv_alpha_phases": {}} | {name: given.given[name] for name in known if name in given}
    job.data["alpha_schedule"] = schedule
    network.say("mapped", "alpha_schedule", "by its documents: R² is required, and nothing jumps when alpha changes. "
                f"What its code did, which leaves R² out and jumps: {SCHEDULE_SWITCHES}")  # fmt: skip
