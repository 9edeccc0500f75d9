"""The speed of sending: mail and HTTP through the real workers, beside what can be had without them."""
