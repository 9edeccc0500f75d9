"""What integrators try things out with: deliveries that a test key made, moved by scenarios, and what would be sent."""
