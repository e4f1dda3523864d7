"""A picture of a page's first screen, taken by a browser without a window: for a README or a message.

python -m tolerance.reports.pictures.screenshot report/report.html report.png --width 1200 --height 900
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tolerance.errors import StoreError

BROWSERS = ("chromium", "google-chrome")
SECONDS = 90


def take(page: Path, picture: Path, *, width: int = 1200, height: int = 900) -> Path:
    """Save a PNG of the first ``width`` x ``height`` pixels of a page; returns its path.

    Raises:
        StoreError: no page, no browser, or a browser that leaves no picture.
    """
    if not page.is_file():
        raise StoreError(f"{page}: no such page. Give the report.html that tolerance report wrote.")
    picture.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                browser(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                f"--screenshot={picture.resolve()}",
                page.resolve().as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    if not picture.is_file():
        raise StoreError(f"{picture}: the browser left no picture (exit code {done.returncode}): {done.stderr[-300:]}")
    return picture


def browser() -> str:
    """The path of the browser.

    Raises:
        StoreError: none is installed.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise StoreError(f"no browser: none of {', '.join(BROWSERS)} is on the PATH. On Debian: apt-get install chromium.")


def main() -> None:
    """Take the picture that the command line asks for; what goes wrong is one line and exit code 1."""
    parser = argparse.ArgumentParser(description="Save a PNG of a report's first screen.")
    parser.add_argument("page", type=Path, metavar="REPORT.html")
    parser.add_argument("picture", type=Path, metavar="OUT.png")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=900)
    asked = parser.parse_args()
    try:
        take(asked.page, asked.picture, width=asked.width, height=asked.height)
    except StoreError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
