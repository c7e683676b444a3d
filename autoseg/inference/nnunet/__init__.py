"""Read models that nnU-Net v2 trained, and say the same in autoseg's documents and tensor names.

Nothing of nnU-Net is imported, and nothing that its files name is run.
"""
