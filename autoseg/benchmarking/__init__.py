"""`autoseg bench`: time each stage against its floor and forecast the time for a dataset."""
