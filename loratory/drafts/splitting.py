"""Which pictures a training would keep back for validation."""

from __future__ import annotations

from collections.abc import Sequence

from loratory.config.train import TrainConfig
from loratory.data.scan import Scan
from loratory.data.split import Apart, own_folder, set_apart
from loratory.drafts.ways import Ways


def kept_back(config: TrainConfig, scans: Sequence[Scan], ways: Ways) -> Apart | None:
    """Every picture is read for it, but for those whose hash is remembered. Raises UserError."""
    if not config.validation.is_on:
        return None
    own = own_folder(config)
    folder = None
    if own is not None:
        found = ways.look(*own)
        folder = found, ways.hashes(found)
    hashes = [ways.hashes(found) for found in scans]
    apart = set_apart(config, scans, hashes, folder)
    for each in (*hashes, *([folder[1]] if folder else [])):
        each.save()
    return apart
