"""Where a published data set lies: an installed copy, else the cache, else a download into the cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pooch.core import Pooch, create
from pooch.utils import os_cache

from ebmnist.data.layout import has_set
from ebmnist.errors import BadInput


@dataclass(frozen=True)
class Published:
    """A data set that others host: where, and the MD5 of each of its four gzip-compressed IDX files."""

    name: str
    base_url: str  # ends in /
    md5: Mapping[str, str]  # file name -> MD5
    installed: Path | None = None  # where a system package puts the four files


def locate(published: Published) -> Path:
    """Return the folder with the set's four IDX files, downloading and verifying what the cache lacks.

    Raises: BadInput if a download fails or is not the published file; nothing half-written stays behind.
    """
    if published.installed is not None and has_set(published.installed):
        return published.installed
    cache = create(
        path=_cache_folder(published),
        base_url=published.base_url,
        registry={file: f"md5:{digest}" for file, digest in published.md5.items()},
    )
    for file in published.md5:
        _fetch(cache, file)
    return Path(cache.abspath)


def present(published: Published) -> Path | None:
    """Return the folder where the set already lies, installed or cached; None if only a download would bring it."""
    places = (published.installed, _cache_folder(published))
    return next((folder for folder in places if folder is not None and has_set(folder)), None)


def _cache_folder(published: Published) -> Path:
    return Path(os_cache("ebmnist")) / published.name


def _fetch(cache: Pooch, file: str) -> None:
    try:
        cache.fetch(file)
    except OSError as error:  # requests' exceptions are OSErrors
        fault = f"cannot be fetched into {cache.abspath} ({type(error).__name__})"
    except ValueError:  # how pooch says that the hash differs
        fault = "is not the published file (its MD5 differs)"
    else:
        return
    raise BadInput(f"{cache.get_url(file)} {fault}: pass --data.root FOLDER, one that holds the set's four IDX files")
