"""How fast and how heavy: the project beside a floor that does the same work by hand, on the same servers and data."""
