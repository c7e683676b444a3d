"""Recognise how a dataset is stored, check every case and measure it."""
