"""Other trainers' files and notations, and ours. Torch-free."""
