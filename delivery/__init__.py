"""Delivery: takes a delivery from order to doorstep and tells everybody concerned."""
