"""Privacy: what is held about somebody, handed over or forgotten, and forgotten again after a restore."""
