"""The rows of the comparison with nnU-Net; `against_nnunet.py` runs them."""
