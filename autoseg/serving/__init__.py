"""Segment images over HTTP with a model that stays loaded, in a process of its own."""
