"""Files for kohya's sd-scripts: its TOML, command lines, and the files of two programs that write for it."""

from loratory.interop.kohya.files import recognises
from loratory.interop.kohya.read import read

__all__ = ["read", "recognises"]
