"""Convert models trained by nnU-Net v2 to autoseg's documents and tensor names.

nnU-Net is not imported, and no code referenced by its files is run.
"""
