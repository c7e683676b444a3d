"""`autoseg bench`: time each stage beside its floor, and forecast what a dataset takes."""
