"""The last door: whatever no other one said becomes a line, and the trace for those who ask for it."""

import errno
import os
import sys
import traceback
from collections.abc import Callable

from tolerance.cli.console import print_error
from tolerance.errors import ToleranceError

DEBUG = "TOLERANCE_DEBUG"
# What the system refuses, and what helps; the rest is said as the system says it.
_MENDS = {
    errno.ENOSPC: "Make room, or use another folder.",
    errno.EACCES: "Give yourself the right, or use another folder.",
    errno.EPERM: "Give yourself the right, or use another folder.",
    errno.EROFS: "Use a folder that can be written to.",
    errno.ENOENT: "Give a path that is there.",
    errno.ENAMETOOLONG: "Give a shorter path.",
}
# What stays of a command that is stopped.
KEPT = {
    "collect": "What was answered is kept; the same command goes on from there.",
    "demo": "What was answered and fitted is kept; the same command goes on from there.",
    "fit": "Attempts that were finished are kept; the same command goes on from there.",
}
NOTHING_HALF = "Nothing is half written; the same command does it again."


def guarded(run: Callable[[], None]) -> int:
    """Run a command; the exit code if it fails, after one line on stderr."""
    try:
        run()
    except ToleranceError as error:
        _told(error, str(error))
    except BrokenPipeError:
        # whoever read the output has closed it: nothing is wrong, and nothing more can be flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        _told(error, last_words(error))
    else:
        return 0
    return 1


def last_words(error: Exception) -> str:
    """A line about an error that nobody foresaw."""
    if isinstance(error, MemoryError):
        return "not enough memory. Close other programs, use fewer --cores, or read fewer rows at once."
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {_MENDS.get(error.errno, 'The system refused it.')}"
    said = " ".join(str(error).split())[:300]
    return (
        f"{type(error).__name__}: {said or 'no message'}. This is a fault of tolerance: your input should have been "
        f"read, or refused in words. Please report it with what `tolerance --version` and the same command under "
        f"{DEBUG}=1 print; the trace shows no data but what this line does."
    )


def _told(error: Exception, text: str) -> None:
    if os.environ.get(DEBUG, "") not in ("", "0"):
        traceback.print_exception(error)
    print_error(text)
