"""ai-toolkit's job files (ostris, and the relaxis fork): read as our jobs, and written from them."""

from loratory.interop.aitoolkit.files import recognises
from loratory.interop.aitoolkit.read import read

__all__ = ["read", "recognises"]
