"""What `loratory doctor` finds and advises, on machines that are described, and on this one."""

import importlib.metadata
import io
import json
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from loratory import doctor
from loratory.cli import app
from loratory.doctor import Card, Device, Facts, TorchFacts

GIB = 2**30
CPU_TORCH = TorchFacts("2.13.0+cpu", threads=8)
# The architectures of PyTorch's own builds (its RELEASE.md).
CU124 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
CU126 = CU124
CU128 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
CU130 = (*CU128, "compute_120")


def cuda(version: str, built_for: tuple[str, ...], *devices: Device) -> TorchFacts:
    return TorchFacts(f"2.13.0+cu{version.replace('.', '')}", "cuda", version, built_for, devices, True, True, 8)


def healthy(**changes) -> Facts:
    """An ordinary Linux machine without a GPU."""
    facts = Facts(
        python=(3, 12, 4), cores=8, torch=CPU_TORCH,
        requirements=("torch<3,>=2.11", "numpy<3,>=2.1"), installed={"torch": "2.13.0+cpu", "numpy": "2.4.6"},
        free_bytes={"Disk for runs": 100 * GIB},
    )  # fmt: skip
    return replace(facts, **changes)


RTX_5090 = Device("NVIDIA GeForce RTX 5090", 32 * GIB, "sm_120")
RTX_4090 = Device("NVIDIA GeForce RTX 4090", 24 * GIB, "sm_89")
GTX_1080 = Device("NVIDIA GeForce GTX 1080", 8 * GIB, "sm_61")
XPU = TorchFacts("2.13.0+xpu", "xpu", "20260101", (), (Device("Intel Arc B580", 12 * GIB),), threads=8)
MPS = TorchFacts("2.13.0", "mps", "", (), (Device("Apple arm64", 48 * GIB),), threads=8)
ROCM = TorchFacts("2.13.0+rocm7.2", "rocm", "7.2", ("gfx90a", "gfx1030", "gfx1100"), threads=8)
MAC = {"system": "Darwin", "machine": "arm64"}

CASES = [
    # name, facts, name of the check, its status, words of the finding, words of the advice
    ("RTX 50, CUDA 12.4", healthy(torch=cuda("12.4", CU124, RTX_5090),
     cards=(Card("nvidia", "5090", "575.64", "12.0"),)),
     "GPU 0", "problem", ["RTX 5090", "12.0", "sm_90"],
     ["not built for your card", "CUDA 12.8 or later", "pip install", "whl/cu128"]),
    ("RTX 50, CUDA 12.4, new driver", healthy(torch=cuda("12.4", CU124, RTX_5090),
     cards=(Card("nvidia", "5090", "580.65", "12.0"),)),
     "GPU 0", "problem", [], ["CUDA 12.8 or later", "whl/cu130"]),
    ("RTX 50, CUDA 12.8", healthy(torch=cuda("12.8", CU128, RTX_5090)), "GPU 0", "ok", ["32.0 GiB"], []),
    ("RTX 40 runs 8.6 code", healthy(torch=cuda("13.0", CU130, RTX_4090)), "GPU 0", "ok", ["24.0 GiB", "8.9"], []),
    ("a later card runs PTX", healthy(torch=cuda("13.0", CU130, replace(RTX_5090, architecture="sm_130"))),
     "GPU 0", "ok", [], []),
    ("GTX 10, CUDA 13", healthy(torch=cuda("13.0", CU130, GTX_1080)),
     "GPU 0", "problem", ["6.1"], ["CUDA 12.6", "whl/cu126"]),
    ("GTX 10, CUDA 12.6", healthy(torch=cuda("12.6", CU126, GTX_1080)), "GPU 0", "ok", [], []),
    ("card fails", healthy(torch=cuda("13.0", CU130, replace(RTX_4090, failure="unspecified launch failure"))),
     "GPU 0", "problem", ["unspecified launch failure"], ["restart"]),
    ("driver, CPU-only torch", healthy(cards=(Card("nvidia", "NVIDIA RTX A4000", "550.90.07", "8.6"),)),
     "GPU", "problem", ["RTX A4000", "550.90.07", "no CUDA"], ["pip install", "whl/cu126"]),
    ("new driver, CPU-only torch", healthy(cards=(Card("nvidia", "NVIDIA RTX A4000", "580.65.06", "8.6"),)),
     "GPU", "problem", ["no CUDA"], ["whl/cu130"]),
    ("very old driver", healthy(cards=(Card("nvidia", "Tesla T4", "470.82", "7.5"),)),
     "GPU", "problem", [], ["driver of version 580"]),
    ("very old card", healthy(cards=(Card("nvidia", "Tesla K80", "470.82", "3.7"),)),
     "GPU", "problem", [], ["too old for any"]),
    ("driver too old for CUDA 13", healthy(torch=cuda("13.0", CU130),
     cards=(Card("nvidia", "RTX 3090", "550.90", "8.6"),)),
     "GPU", "problem", ["too old for CUDA 13.0", "580"], ["Update the driver", "whl/cu126"]),
    ("card hidden", healthy(torch=cuda("13.0", CU130), cards=(Card("nvidia", "RTX 3090", "580.65", "8.6"),)),
     "GPU", "problem", ["sees no device"], ["CUDA_VISIBLE_DEVICES"]),
    ("ROCm", healthy(torch=replace(ROCM, devices=(Device("AMD Radeon RX 7900 XTX", 24 * GIB, "gfx1100:sramecc-"),))),
     "GPU 0", "ok", ["7900 XTX", "gfx1100"], []),
    ("ROCm, relative of a known card",
     healthy(torch=replace(ROCM, devices=(Device("AMD Radeon RX 6700 XT", 12 * GIB, "gfx1031"),))),
     "GPU 0", "problem", ["gfx1031", "gfx1030"], ["HSA_OVERRIDE_GFX_VERSION"]),
    ("AMD card, CPU-only torch", healthy(cards=(Card("amd", "AMD gfx1100"),)),
     "GPU", "problem", ["not built for ROCm"], ["whl/rocm"]),
    ("AMD card not reachable", healthy(torch=ROCM, cards=(Card("amd", "AMD gfx1100"),)),
     "GPU", "problem", ["sees no device"], ["render"]),
    ("XPU", healthy(torch=XPU), "GPU 0", "ok", ["Intel Arc B580", "12.0 GiB"], []),
    ("MPS", healthy(torch=MPS, **MAC), "GPU 0", "ok", ["Apple", "48.0 GiB"], []),
    ("MPS on old macOS", healthy(torch=replace(MPS, devices=()), **MAC), "GPU", "problem", ["MPS"], ["macOS"]),
    ("CPU only", healthy(), "GPU", "warning", ["none"], ["CPU"]),
    ("bfloat16 in hardware", healthy(torch=replace(CPU_TORCH, fast_bfloat16=True)),
     "CPU", "ok", ["8 of 8", "in hardware"], []),
    ("bfloat16 emulated", healthy(), "CPU", "ok", ["only emulated"], []),
    ("threads held back", healthy(torch=replace(CPU_TORCH, threads=1)),
     "CPU", "warning", ["1 of 8"], ["OMP_NUM_THREADS"]),
    ("old Python", healthy(python=(3, 10, 12)), "Python", "problem", ["3.10.12"], ["3.11, 3.12 or 3.13"]),
    ("new Python", healthy(python=(3, 14, 0)), "Python", "problem", ["3.14.0"], ["3.11, 3.12 or 3.13"]),
    ("32 bit", healthy(bits=32), "Python", "problem", ["32 bit"], ["64-bit"]),
    ("torch broken", healthy(torch=None, torch_error="OSError: libcudart.so"),
     "PyTorch", "problem", ["libcudart.so"], ["bootstrap"]),
    ("Intel Mac", healthy(torch=None, system="Darwin"), "PyTorch", "problem", [], ["Intel"]),
    ("dependency too old", healthy(installed={"torch": "2.13.0", "numpy": "1.26.4"}),
     "numpy", "problem", ["1.26.4", ">=2.1"],
     ['pip install "numpy<3,>=2.1"']),
    ("dependency missing", healthy(installed={"numpy": "2.4.6"}), "torch", "problem", ["missing"], ["pip install"]),
    ("dependencies in range", healthy(), "Dependencies", "ok", ["2 of 2"], []),
    ("not installed", healthy(requirements=()), "Dependencies", "problem", ["not installed"], ["bootstrap"]),
    ("disk full", healthy(free_bytes={"Disk for runs": GIB}),
     "Disk for runs", "problem", ["1.0 GiB"], ["LORATORY_HOME"]),
    ("disk low", healthy(free_bytes={"Disk for runs": 10 * GIB}), "Disk for runs", "warning", ["10.0 GiB"], ["Flux"]),
    ("disk", healthy(), "Disk for runs", "ok", ["100.0 GiB"], []),
    ("flash attention", healthy(torch=cuda("13.0", CU130, RTX_4090), installed={"xformers": "0.0.35"}),
     "Attention", "ok", ["flash attention", "xformers 0.0.35"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "name", "status", "found", "advice"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_finding(facts, name, status, found, advice):
    findings = doctor.checks(facts)
    [finding] = [finding for finding in findings if finding.name == name]
    assert finding.status == status
    assert [word for word in found if word not in finding.found] == [], finding.found
    assert [word for word in advice if word not in finding.advice] == [], finding.advice
    assert bool(finding.advice) == (status != "ok"), "a problem says what to do, and nothing else does"
    assert doctor.exit_code([finding]) == (status == "problem")


def test_a_healthy_machine_has_no_problem():
    findings = doctor.checks(healthy())
    assert {finding.status for finding in findings} <= {"ok", "warning"}
    assert doctor.exit_code(findings) == 0
    assert doctor.exit_code(doctor.checks(healthy(bits=32))) == 1


@pytest.mark.parametrize(
    ("built_for", "device", "works"),
    [
        (["sm_80"], "sm_86", True), (["sm_86"], "sm_80", False), (["sm_80"], "sm_90", False),
        (["sm_90"], "sm_120", False),
        (["sm_90a"], "sm_90", True), (["sm_120a"], "sm_121", False), (["sm_120f"], "sm_121", True),
        (["compute_90"], "sm_120", True), (["compute_120"], "sm_90", False), (["compute_90a"], "sm_120", False),
        ([], "sm_75", False), (["gfx942"], "gfx942:sramecc+:xnack-", True), (["gfx1100"], "gfx1101", False),
    ],
)  # fmt: skip
def test_which_code_runs_on_which_device(built_for, device, works):
    assert doctor.runs_on(built_for, device) is works


def test_table_shows_every_finding_as_it_is_written():
    findings = doctor.checks(healthy(torch=None, torch_error="ImportError: [broken] module"))
    screen = io.StringIO()
    Console(file=screen, width=400, color_system=None).print(doctor.render(findings))
    for finding in findings:
        assert finding.found in screen.getvalue()
        assert finding.advice in screen.getvalue()


def test_this_machine_is_described_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "not" / "yet" / "made"))
    facts = doctor.gather()
    import torch

    assert facts.python == sys.version_info[:3]
    assert facts.torch is not None
    assert facts.torch.version == torch.__version__
    assert facts.torch.threads == torch.get_num_threads()
    assert bool(facts.torch.devices) == torch.accelerator.is_available()
    assert all(not device.failure for device in facts.torch.devices)
    assert len(facts.free_bytes) == 2
    assert any(str(tmp_path) in place for place in facts.free_bytes)
    assert all(free > 0 for free in facts.free_bytes.values())


def test_requirements_are_the_packages_own(monkeypatch):
    lines = ["torch<3,>=2.11", 'colorama; sys_platform == "never"', 'pytest; extra == "dev"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines if name == "loratory" else None)
    assert doctor.own_requirements() == ("torch<3,>=2.11",)


def test_not_installed_is_a_finding(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert doctor.own_requirements() == ()


@pytest.mark.parametrize("error", [ImportError("no module"), OSError("libtorch.so: cannot open")])
def test_broken_torch_is_a_finding(monkeypatch, error):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise error

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    facts, said = doctor.torch_here()
    assert facts is None
    assert str(error) in said


def tool(folder, monkeypatch, body: str) -> None:
    """Put a program called nvidia-smi first on the path."""
    if sys.platform == "win32":
        pytest.skip("platform: needs a program that a script can stand in for")
    program = folder / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_nvidia_cards(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(doctor.nvidia_cards()) == []
    tool(tmp_path, monkeypatch, "print('NVIDIA L4, 580.65.06, 8.9, 23034\\nNVIDIA Old, 470.1, [N/A], [N/A]')")
    assert list(doctor.nvidia_cards()) == [
        Card("nvidia", "NVIDIA L4", "580.65.06", "8.9", 23034 / 1024),
        Card("nvidia", "NVIDIA Old", "470.1"),
    ]
    tool(tmp_path, monkeypatch, "raise SystemExit(9)")
    assert "does not answer" in next(iter(doctor.nvidia_cards())).name


def test_amd_cards(tmp_path):
    for node, version in enumerate([0, 110000, 90010]):  # a processor, a 7900 XTX, an MI200
        (tmp_path / str(node)).mkdir()
        (tmp_path / str(node) / "properties").write_text(
            f"cpu_cores_count 8\ngfx_target_version {version}\n", encoding="utf-8"
        )
    for bank, (heap, size) in enumerate([(1, 16 * 2**30), (2, 8 * 2**30), (0, 2**30)]):  # the last is no card's own
        (tmp_path / "1" / "mem_banks" / str(bank)).mkdir(parents=True)
        (tmp_path / "1" / "mem_banks" / str(bank) / "properties").write_text(
            f"heap_type {heap}\nsize_in_bytes {size}\n", encoding="utf-8"
        )
    found = list(doctor.amd_cards(tmp_path))
    assert [(card.name, card.gigabytes) for card in found] == [("AMD gfx1100", 24.0), ("AMD gfx90a", 0.0)]
    assert list(doctor.amd_cards(tmp_path / "missing")) == []


@pytest.mark.parametrize(("status", "code"), [("warning", 0), ("problem", 1)])
def test_for_programs_it_is_json(monkeypatch, status, code):
    found = [doctor.Check("GPU", status, 'none, or "odd"', "Buy one.")]
    monkeypatch.setattr(doctor, "checks", lambda: found)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == code
    assert json.loads(result.stdout) == [
        {"name": "GPU", "status": status, "found": 'none, or "odd"', "advice": "Buy one."}
    ]
