"""`autoseg rank`: order unlabelled images by the expected gain of annotating them."""
