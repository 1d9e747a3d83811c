"""The web server: the queue, the truth about runs, and datasets, for the browser app and for scripts. No torch."""
