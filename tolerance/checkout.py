"""A checkout in which `tolerance.runners` and `.reports` cannot be found says why, and what mends it.

Both stand at the root of the repository and are linked into the package; an installed package holds them as folders.
Git writes links as small text files where it is told that there are none, and source archives leave them out.
"""

import sys
from importlib import invalidate_caches
from importlib.abc import MetaPathFinder
from pathlib import Path

from tolerance.errors import CheckoutError

HERE = Path(__file__).parent
LINKED = ("runners", "reports", "templates")


class _Explaining(MetaPathFinder):
    """Asked last, when nobody found a module."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raise for what a link should have led to.

        Raises:
            CheckoutError: with the mend.
        """
        package, _, name = fullname.partition(".")
        if package == "tolerance" and name in LINKED:
            raise CheckoutError(_mend(HERE / name))


def explain_missing_links() -> None:
    """Have imports of what is not linked fail with one clear line."""
    if not all((HERE / name).is_dir() for name in LINKED):
        sys.meta_path.append(_Explaining())


def make_missing_links() -> None:
    """Link what is at the root of an unpacked source archive; what is there, in whatever form, stays."""
    for name in LINKED:
        link = HERE / name
        if not link.exists() and not link.is_symlink() and (HERE.parent / name).is_dir():
            link.symlink_to(Path("..") / name, target_is_directory=True)
    invalidate_caches()


def _mend(link: Path) -> str:
    if link.is_file():
        return (
            f"{link} is a text file where a link to ../{link.name} belongs: this checkout was made without symbolic "
            "links. Run: git config core.symlinks true; git checkout -- tolerance. Or install it: pip install ."
        )
    return (
        f"{link} is missing: source archives hold no links. Install it: pip install . (Running its tests here makes "
        "the links.)"
    )
