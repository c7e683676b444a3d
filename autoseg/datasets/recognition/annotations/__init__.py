"""Labels that are drawn as shapes in annotation files; one module per format."""
