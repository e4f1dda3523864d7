"""docs/api.md from the sources of the public names: signatures as they are written, and docstrings.

uv run python -m docs.api              # after a change of a public signature or docstring
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import tolerance

PAGE = Path(__file__).parent / "api.md"
# Heading -> public names, in the order of the page; a test holds that it has all of them.
CONTENTS = {
    "Collect or import": "Plan collect import_table import_run import_means import_published read_run validate",
    "Ask without a model": "instant_answer Instant",
    "Fit curves": "fit Fit Settings Priors read_fit with_thresholds compare_families",
    "Findings and pages": "Question analyse Report read_report headlines render write",
    "Compare arms": "compare Arm Conclusions",
    "Audit claims": "audit Claim Audit",
    "Errors": "ToleranceError SchemaError StoreError OtherFitError RunnerError DesignError",
}
HEAD = """# The library

The public names, all `from tolerance import ...`. Whatever takes a path takes a `str` or a `Path`. What else can be
imported may change between versions. An example of the whole stands in the [README](../README.md).

This page is written from the docstrings, by `python -m docs.api`.
"""
Definition = ast.FunctionDef | ast.ClassDef


def page() -> str:
    """The whole of docs/api.md."""
    parts, anchors = [HEAD], _anchors()
    for heading, names in CONTENTS.items():
        found = {name: definition(name) for name in names.split()}
        firsts = [f"- [{name}](#{anchors[name]}): {_docstring(node).splitlines()[0]}" for name, node in found.items()]
        parts += [f"## {heading}\n", "\n".join(firsts) + "\n"]
        parts += [section for name, node in found.items() for section in _sections(name, node)]
    return "\n".join(parts)


def _anchors() -> dict[str, str]:
    """Where links to each name lead: of two that differ by a capital, the second is numbered."""
    anchors: dict[str, str] = {}
    for name in " ".join(CONTENTS.values()).split():
        low = name.lower()
        anchors[name] = f"{low}-1" if low in anchors.values() else low
    return anchors


def definition(name: str) -> Definition:
    """A public name as it is written in its module."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(getattr(tolerance, name)))).body
    assert isinstance(node, Definition), name
    return node


def _sections(name: str, node: Definition) -> Iterator[str]:
    """A name, then the public methods of a class."""
    code = _of_class(node) if isinstance(node, ast.ClassDef) else _of_function(node)
    yield f"### {name}\n\n```python\n{code}\n```\n\n{_prose(_docstring(node))}\n"
    for one in _methods(node) if isinstance(node, ast.ClassDef) else ():
        yield f"`{name}.{one.name}`\n\n```python\n{_of_function(one)}\n```\n\n{_prose(_docstring(one))}\n"


def _methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            yield one


def _of_class(node: ast.ClassDef) -> str:
    """The class with its fields."""
    bases = f"({', '.join(_written(base) for base in node.bases)})" if node.bases else ""
    fields = [_written(one) for one in node.body if isinstance(one, ast.AnnAssign)]
    head = f"class {node.name}{bases}:"
    return "\n".join([head, *(f"    {field}" for field in fields)]) if fields else f"{head} ..."


def _of_function(node: ast.FunctionDef) -> str:
    """Decorators, name, parameters and what is returned; a parameter a line where one line is too short."""
    marks = "".join(f"@{_written(one)}\n" for one in node.decorator_list)
    returns = "" if node.returns is None else f" -> {_written(node.returns)}"
    given = list(_parameters(node.args))
    line = f"def {node.name}({', '.join(given)}){returns}"
    if len(line) > 100:
        line = f"def {node.name}(\n" + "".join(f"    {one},\n" for one in given) + f"){returns}"
    return marks + line


def _parameters(args: ast.arguments) -> Iterator[str]:
    """Parameters without self, each with its type and default."""
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    yield from (_parameter(*one) for one in zip(positional, defaults, strict=True) if one[0].arg not in ("self", "cls"))
    if args.kwonlyargs:
        yield "*"
    yield from (_parameter(*one) for one in zip(args.kwonlyargs, args.kw_defaults, strict=True))
    if args.kwarg is not None:
        yield f"**{_parameter(args.kwarg, None)}"


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    typed = arg.arg if arg.annotation is None else f"{arg.arg}: {_written(arg.annotation)}"
    return typed if default is None else f"{typed} = {_written(default)}"


def _written(node: ast.AST) -> str:
    """Code as it is formatted here: text in double quotes."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', ast.unparse(node))


def _docstring(node: Definition) -> str:
    return ast.get_docstring(node) or ""


def _prose(text: str) -> str:
    """A docstring as Markdown: single backticks, and errors as a list."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    body, _, raised = text.partition("Raises:\n")
    errors = re.sub(r"^(\w+): ", r"- `\1`: ", textwrap.dedent(raised), flags=re.MULTILINE)
    return body.rstrip() + (f"\n\nRaises:\n\n{errors}" if raised else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
