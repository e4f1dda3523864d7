"""What a page may do: its own style sheet and script, by hash, images of its own, and nothing else."""

import base64
import hashlib

from markupsafe import Markup

# An end tag or an entity inside the data block would end or change it; JSON has its own escapes for these.
IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def policy(style: str, code: str) -> str:
    """The content security policy of a page with this style sheet and this script, or none."""
    allowed = f"style-src {_hash(style)}; " + (f"script-src {_hash(code)}; " if code else "")
    return f"default-src 'none'; {allowed}img-src data:; base-uri 'none'; form-action 'none'"


def embedded(json: str) -> Markup:
    """JSON as a page's data block holds it."""
    return Markup(json.translate(IN_SCRIPT))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
