"""Jobs before they run: read, checked, previewed, compared, exported. Torch-free, and the same for all who ask."""
