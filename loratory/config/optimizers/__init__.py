"""One config class per optimizer; `loratory.config.optimizer` joins them."""
