"""Folders of runs without a training: a bit of everything that a run writes."""

import json
import struct
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from loratory.config.load import dump, parse
from loratory.runs import RunFolder

TEXT = """a dog, on: a mat
Negative prompt: cat, blurry
Steps: 20, Sampler: the model's own, Size: 64x64, Training step: {}"""


def lora_file(**metadata: str) -> bytes:
    """A .safetensors file of one tensor."""
    header = json.dumps(
        {"__metadata__": metadata, "a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(12)


def make_run(output: Path, name: str, rank: int = 4) -> RunFolder:
    """A run of ten steps."""
    run = RunFolder.create(output, name)
    job = {"name": name, "model": {"path": "m"}, "network": {"rank": rank}, "datasets": [{"path": str(output)}]}
    with run.lock():
        run.write_status("starting")
        run.write_config(dump(parse(job, "test")))
        run.emit("started")
        run.log_path.write_text("".join(f"line {number} of the log, with ä\n" for number in range(1, 1001)))
        with run.metrics() as metrics:
            for step in range(1, 11):
                metrics.append(step, loss=1 / step, learning_rate=0.1)
        for step in (5, 10):
            text = PngInfo()
            text.add_itxt("parameters", TEXT.format(step))
            Image.new("RGB", (64, 48)).save(run.samples_path / f"{step:09d}_00_0123abcd.png", pnginfo=text)
            Image.new("RGB", (64, 64)).save(run.samples_path / f"{step:09d}_01_9999abcd.webp")
            with run.new_checkpoint(step) as folder:
                (folder / "network.safetensors").write_bytes(b"n" * 100)
        run.export_path(5).write_bytes(lora_file(ss_network_dim="4", ss_steps="5", ss_seed="None"))
        run.final_export_path.write_bytes(lora_file(ss_network_dim="4", ss_steps="10"))
        run.write_status("finished", step=10, total_steps=10)
    return run
