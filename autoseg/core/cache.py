"""Default location of the cache, in its own module so that importing it is fast."""

from pathlib import Path


def cache_folder(root: Path | None) -> Path | None:
    """Return autoseg's subfolder of the cache folder, by default of `~/.cache`.

    None if no cache folder is given and the user has no home folder.
    """
    if root is not None:
        return root / "autoseg"
    try:
        return Path.home() / ".cache" / "autoseg"
    except RuntimeError:
        return None
