"""The files of a card and of an audit as they were last looked at, byte for byte.

uv run python -m tests.golden          # write them anew, after a change that was meant; then look at the difference
"""

from pathlib import Path

from tests.report_example import audits, normal
from tolerance.reports import page

GOLDEN = Path(__file__).parent / "golden"
MADE = {"card": normal, "audit": audits}


def write(folder: Path) -> list[Path]:
    """Every file, below a folder; their paths relative to it."""
    for name, make in MADE.items():
        page.write(make(), folder / name)
    return sorted(path.relative_to(folder) for path in folder.rglob("report.*"))


if __name__ == "__main__":
    print("\n".join(str(GOLDEN / path) for path in write(GOLDEN)))
