"""The machine: what nvidia-smi and doctor say, memory of containers, and that nobody waits for them."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from loratory.server import machine
from loratory.server.machine import Doctor, Kept, Machine, find_gpus, memory

needs_scripts = pytest.mark.skipif(sys.platform == "win32", reason="platform: the test's tools are shell scripts")

LINES = """0, GPU-1111, NVIDIA H200, 143771, 512, 37, 41, 121.55, 700.00
1, GPU-2222, NVIDIA Card, with comma, 24564, 0, [N/A], [Not Supported], [N/A], [N/A]
No devices were found
"""


def tool(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@needs_scripts
def test_cards_that_nvidia_smi_tells(tmp_path, monkeypatch):
    tool(tmp_path / "bin", "nvidia-smi", f"cat <<'END'\n{LINES}END")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    first, second = find_gpus()
    assert (first.index, first.uuid, first.name) == (0, "GPU-1111", "NVIDIA H200")
    assert (first.memory_total_bytes, first.memory_used_bytes) == (143771 * 1024 * 1024, 512 * 1024 * 1024)
    assert (first.utilisation_percent, first.temperature_celsius) == (37.0, 41.0)
    assert (first.power_watts, first.power_limit_watts) == (121.55, 700.0)
    assert second.name == "NVIDIA Card, with comma"
    assert (second.utilisation_percent, second.temperature_celsius, second.power_watts) == (None, None, None)


@needs_scripts
def test_without_a_driver_or_with_a_broken_one_there_are_no_cards(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_gpus() == ()
    tool(tmp_path / "bin", "nvidia-smi", "echo NVIDIA-SMI has failed >&2; exit 9")
    assert find_gpus() == ()


def test_what_takes_long_is_not_waited_for():
    asked, go = [], threading.Event()

    def find() -> int:
        asked.append(1)
        go.wait(10)
        return 7

    kept = Kept(find, 0, keep_seconds=60.0)
    began = time.monotonic()
    assert [kept.get(), kept.get(), kept.get(wait_seconds=0.05)] == [0, 0, 0]
    assert time.monotonic() - began < 2
    go.set()
    assert kept.get(wait_seconds=10) == 7
    assert kept.get() == 7
    assert len(asked) == 1, "it is fresh"


def test_the_last_known_is_told_while_a_new_one_is_looked_for():
    values, go = iter([1, 2]), threading.Event()
    go.set()

    def find() -> int:
        go.wait(10)
        return next(values)

    kept = Kept(find, 0, keep_seconds=0.0)
    assert kept.get(wait_seconds=10) == 1
    go.clear()
    time.sleep(0.02)
    assert kept.get(wait_seconds=10) == 1, "it does not wait for the second"
    go.set()


def test_memory_of_a_container(tmp_path):
    def group(limit: str) -> Path:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text("900000\n")
        (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 300000\nactive_file 4\n")
        return tmp_path

    held = memory(group("1000000"))
    assert (held.total_bytes, held.used_bytes) == (1_000_000, 600_000)
    whole = psutil.virtual_memory().total
    assert memory(group("max")).total_bytes == whole
    assert memory(group(str(whole * 2))).total_bytes == whole
    assert memory(tmp_path / "none").total_bytes == whole


def finished(doctor: Doctor) -> machine.Report:
    deadline = time.monotonic() + 10
    while doctor.report().state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return doctor.report()


@needs_scripts
def test_doctor_is_asked_in_a_process_of_its_own(tmp_path, monkeypatch):
    found = [{"name": "Python", "status": "ok", "found": "3.11", "advice": ""}]
    tool(tmp_path, "python", f"echo $* > {tmp_path}/asked; echo '{json.dumps(found)}'; exit 1")
    monkeypatch.setattr(machine.sys, "executable", str(tmp_path / "python"))
    doctor = Doctor()
    assert doctor.report().state == "none"
    assert doctor.start().state == "running"
    report = finished(doctor)
    assert (report.state, list(report.checks)) == ("done", found)
    assert (tmp_path / "asked").read_text().strip() == "-m loratory.cli doctor --json"


@needs_scripts
def test_a_doctor_that_says_nothing_of_use(tmp_path, monkeypatch):
    tool(tmp_path, "python", "echo 'Traceback'; echo 'ImportError: HF_TOKEN=hf_" + "a1" * 15 + "' >&2")
    monkeypatch.setattr(machine.sys, "executable", str(tmp_path / "python"))
    doctor = Doctor()
    doctor.start()
    report = finished(doctor)
    assert report.state == "failed"
    assert "ImportError" in str(report.error)
    assert "a1a1" not in str(report.error)
    monkeypatch.setattr(machine.sys, "executable", str(tmp_path / "missing"))
    doctor.start()
    assert "cannot be started" in str(finished(doctor).error)


@needs_scripts
def test_a_doctor_ends_with_the_server(tmp_path, monkeypatch):
    tool(tmp_path, "python", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(machine.sys, "executable", str(tmp_path / "python"))
    doctor = Doctor()
    doctor.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    doctor.close()
    assert finished(doctor).state == "failed"
    assert doctor.start().state == "failed", "nothing begins after the end"


def test_the_routes(client, monkeypatch, loratory_home):
    monkeypatch.setattr(machine, "find_gpus", lambda: ())
    found = client.get("/api/system").json()
    assert found["cores"] >= 1
    assert 0 <= found["cpu_percent"] <= 100
    assert 0 < found["memory"]["used_bytes"] < found["memory"]["total_bytes"]
    assert [(disk["kind"], disk["path"]) for disk in found["disks"]] == [("home", str(loratory_home))]
    assert found["disks"][0]["free_bytes"] > 0
    assert {"loratory", "python", "torch"} <= found["versions"].keys()
    assert client.get("/api/system/hardware").json()["state"] == "none"


def test_disks_of_roots_that_are_away(client, loratory_home):
    (loratory_home / "state").mkdir(exist_ok=True)
    (loratory_home / "state" / "settings.yaml").write_text("paths: {models: [/not/there]}", encoding="utf-8")
    disk = client.get("/api/system").json()["disks"][1]
    assert (disk["kind"], disk["path"], disk["total_bytes"]) == ("models", "/not/there", None)


def test_the_processor_is_as_busy_for_every_thread_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil counts for each thread on its own: the first question of each would be answered with 0."""
    clock, busy = [100.0], [50.0]
    monkeypatch.setattr(machine, "_processor_times", lambda: (clock[0], clock[0] * 2, clock[0] * 2 - busy[0]))

    def pass_time(seconds: float) -> None:
        clock[0] += seconds
        busy[0] += seconds * 2 * 0.75

    monkeypatch.setattr(machine.time, "sleep", pass_time)
    found = Machine()
    answers: list[float] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: answers.append(found.cpu_percent()))
        thread.start()
        thread.join()
        pass_time(5)
    assert answers == [75.0, 75.0, 75.0]
