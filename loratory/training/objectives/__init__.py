"""Small pure functions of the objective: noise, timesteps, losses, weighting. `objective` puts them together."""
