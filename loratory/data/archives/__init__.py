"""Archives from anybody are unpacked without harm: nothing lands outside, nothing fills the disk, nothing is a link.

`unpack` fills an empty folder. Zip and tar are read here; rar and 7z by a program found on the machine.
"""

from loratory.data.archives.entries import Ask, Entry, LeftOut, Limits, Renamed, Unpacked, never
from loratory.data.archives.kinds import SUFFIXES, ArchiveError, kind_of_name, wrong_start
from loratory.data.archives.unpack import unpack

__all__ = [
    "SUFFIXES",
    "ArchiveError",
    "Ask",
    "Entry",
    "LeftOut",
    "Limits",
    "Renamed",
    "Unpacked",
    "kind_of_name",
    "never",
    "unpack",
    "wrong_start",
]
