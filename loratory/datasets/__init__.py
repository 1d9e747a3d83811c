"""Datasets as people work on them: the library of folders, what is in each, edits of captions that can be undone.

No torch and no HTTP. Training reads a dataset by `loratory.data`; nothing there depends on what is kept here.
"""
