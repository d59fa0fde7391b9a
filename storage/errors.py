"""What can go wrong, in words that name the remedy."""

from collections.abc import Iterator

__all__ = [
    "SourceError",
    "StorageError",
    "StoreCorruptError",
    "StoreMismatchError",
    "UnreadableImageError",
    "is_storage_fault",
]


class StorageError(Exception):
    """Base of everything that this package raises on purpose."""


class SourceError(StorageError):
    """A source of images that cannot be listed: missing, empty or out of reach."""


class StoreMismatchError(StorageError):
    """A store that was made with other settings than those asked for."""


class StoreCorruptError(StorageError):
    """Bytes of a store that are missing or are not what was committed."""


class UnreadableImageError(StorageError):
    """One image whose bytes came but cannot be used. Never raised for a fault of the network."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnreadableImageError"], tuple[str, str]]:
        """Pickle with both arguments: the default would pass the joined message alone."""
        return type(self), (self.name, self.reason)


# Whole libraries rather than classes: their exceptions share no base with OSError, and naming
# them by module lets this package run where they are not installed.
_NETWORK_LIBRARIES = ("aiohttp", "botocore", "aiobotocore", "azure", "gcsfs", "urllib3", "requests")
# Errors of these libraries that no second try mends.
_PROGRAMMING = ("ParamValidationError", "NoCredentialsError", "PartialCredentialsError")


def is_storage_fault(error: BaseException) -> bool:
    """Whether trying again later may help: the network or a server failed, not our own code.

    A missing file, a refused permission, an unreadable image and a corrupt store are no faults
    in this sense, since they are the same on the next try.
    """
    return any(_is_fault(link) for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, UnreadableImageError):
            return  # its cause is a decoder's, often an OSError: the bytes came
        error = error.__cause__ or error.__context__


def _is_fault(error: BaseException) -> bool:
    if isinstance(error, StorageError | FileExistsError | IsADirectoryError | NotADirectoryError):
        return False
    if isinstance(error, FileNotFoundError | PermissionError):
        return False
    if isinstance(error, OSError | TimeoutError):
        return True
    library = type(error).__module__.partition(".")[0]
    return library in _NETWORK_LIBRARIES and type(error).__name__ not in _PROGRAMMING
