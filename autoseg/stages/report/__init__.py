"""`autoseg report`: write an HTML page on a dataset, its plan, its trainings and its scores."""
