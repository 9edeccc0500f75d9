"""Webhooks: endpoints that are told of events, their log, and the feed that programs read events from."""
