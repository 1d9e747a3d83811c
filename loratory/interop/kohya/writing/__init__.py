"""The parts of a job in the words of sd-scripts: one file for each, joined by `kohya/write.py`."""
