"""What a server loads before it listens: not what only some requests need."""

import os
import subprocess
import sys

HEAVY = {
    "torch", "diffusers", "transformers", "safetensors", "huggingface_hub", "rich", "httpx", "cv2",
    "loratory.config.train", "loratory.config.load", "loratory.config.docs", "loratory.config.presets",
    "loratory.drafts.desk", "loratory.planner.steps", "loratory.planner.estimate", "loratory.interop",
}  # fmt: skip
"""A config with all its rules alone is a third of the time that a start may take."""

START = """
import asyncio, sys
import loratory.cli.serve, loratory.server.serve
from loratory.server.app import create_app
from loratory.server.life import life

async def begin(app):
    async with life(app):
        print(*sys.modules)

asyncio.run(begin(create_app()))
"""


def test_a_start_loads_nothing_heavy(tmp_path):
    environment = os.environ | {"LORATORY_HOME": str(tmp_path)}
    answer = subprocess.run([sys.executable, "-c", START], check=False, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    loaded = set(answer.stdout.split())
    assert {"fastapi", "sqlalchemy", "loratory.server.routes.configs"} <= loaded
    assert not HEAVY & loaded
