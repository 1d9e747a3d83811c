"""One file per architecture: its `SPEC`. A file joins every table and test by being here."""
