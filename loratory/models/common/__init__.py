"""What several architectures share: loading, autoencoder, CLIP text encoders, noise-prediction schedules."""
