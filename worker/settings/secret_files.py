"""<NAME>_FILE: a secret read from a file, as Docker and Kubernetes mount them."""

from pathlib import Path

SUFFIX = "_FILE"

_LONGEST = 65_536


def secret_in(path: object) -> str:
    """The file's text without one line end at its end. Raises ValueError, worded to follow "must be".

    The path is not quoted: people put the secret itself there.
    """
    try:
        if not isinstance(path, str):
            raise ValueError
        with Path(path.strip()).open("rb") as file:
            content = file.read(_LONGEST + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"the path of a file that can be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("the path of a file of UTF-8 text") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret.strip() or len(content) > _LONGEST:
        raise ValueError(f"the path of a file of at most {_LONGEST} bytes that is not empty")
    return secret
