"""Datasets for browser tests, and files that are dropped as a file manager drops them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.e2e.web.studio import Studio

CAPTIONS = ["dog, red", "dog, blue eyes", "cat, red", "cat", "", "dog, cat"]


def picture(path: Path, colour: int = 0, side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (colour % 256, 90 + colour // 256, 160)).save(path)
    return path


def heavy(path: Path, megabytes: float, colour: int = 0) -> Path:
    """A good picture with noise at its end, so that sending it takes a while and every byte of it counts."""
    with picture(path, colour).open("ab") as file:
        file.write(os.urandom(int(megabytes * 2**20)))
    return path


def tagged(studio: Studio, captions: Iterable[str] = CAPTIONS) -> tuple[str, Path]:
    """The dataset `tagged`: its id and its folder."""
    folder = studio.home / "datasets" / "tagged"
    for number, caption in enumerate(captions):
        picture(folder / f"{number:03}.png", number * 20)
        if caption:
            (folder / f"{number:03}.txt").write_text(caption, encoding="utf-8")
    return id_of(studio, "tagged"), folder


def id_of(studio: Studio, name: str) -> str:
    found = studio.wait_for("/api/datasets", lambda answer: any(
        each["name"] == name and each["summary"] for each in answer["datasets"]))  # fmt: skip
    return next(str(each["id"]) for each in found["datasets"] if each["name"] == name)


def drop(page: Page, *paths: Path) -> None:
    """Drag files and folders from outside onto the page, and let go: with the browser's own events."""
    line = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        line.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 300, "data": data})


def slow_line(page: Page, bytes_a_second: int = 1 << 20) -> None:
    """So that there is a middle of an upload."""
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_a_second})  # fmt: skip


def in_the_middle(studio: Studio) -> None:
    """Wait until some of a file has arrived, and not all of it."""
    studio.wait_for("/api/uploads", lambda answer: any(
        (1 << 18) < each["offset_bytes"] < each["size_bytes"] for each in answer["uploads"]), 60)  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
