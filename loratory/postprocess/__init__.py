"""Work on finished files: convert, and later resize, merge and extract."""
