"""kohya's sd-scripts: its files and ours."""
