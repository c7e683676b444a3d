"""Trained models on disk: find, load, import from nnU-Net, write and read as model files."""
