"""The prompts of a run's samples, read again when they were edited. What they are made of is in `drafts.prompts`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.train import TrainConfig
from loratory.data.prompts import Prompt, parse_prompts
from loratory.drafts.prompts import parsed_file, settled_all
from loratory.errors import UserError
from loratory.interop.prompt_files import content_of

log = logging.getLogger(__name__)


class Prompts:
    """The settled prompts of a run, `current`. Made before anything is loaded, so that mistakes are told at once."""

    def __init__(self, config: TrainConfig, spec: ArchitectureSpec) -> None:
        """Raises UserError for prompts that cannot be read or made."""
        self._config, self._spec = config, spec
        file = config.sampling.prompts_file
        self._file = None if file is None else Path(file)
        self._content: bytes | None = None
        self.current: list[Prompt]
        if self._file is None:
            self.use(config.sampling.prompts)
        else:
            self._content = content_of(self._file)
            self._take(parsed_file(self._file, self._content, spec))

    def use(self, lines: Sequence[str]) -> None:
        """Take these lines from now on. Raises UserError for one that cannot be used; the old prompts then stay."""
        self._take(parse_prompts(lines))

    def read_again(self) -> bool:
        """Take what is in the file, if it was changed since it was last looked at; True when the prompts are new.

        Raises UserError, once for each content, for a file that cannot be used (any more); the old prompts then stay.
        """
        if self._file is None:
            return False
        try:
            content = content_of(self._file)
        except UserError:
            if self._content is None:
                return False
            self._content = None
            raise
        if content == self._content:
            return False
        self._content = content
        self._take(parsed_file(self._file, content, self._spec))
        return True

    def _take(self, prompts: Sequence[Prompt]) -> None:
        taken, remarks = settled_all(prompts, self._config, self._spec)
        for remark in remarks:
            log.warning("%s", remark)
        self.current = taken
