"""Forms in which label files store the classes."""

from typing import Literal

MaskForm = Literal["values", "threshold", "colours", "onehot", "instances", "classes", "objects"]
"""A value, colour or channel per class, a mask to threshold, a number per object, or a file per
class or per object."""
