"""Recognise which files of a folder are images and labels of the same case, by general rules."""
