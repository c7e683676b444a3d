"""Reports as single HTML pages: tables, charts and pictures of data, trainings and scores."""
