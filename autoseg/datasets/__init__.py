"""Recognise the layout of a dataset, and check and measure each case."""
