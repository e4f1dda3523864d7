"""The import graph in numbers: rooms, floors, arrows, circles.

    python -m tests.import_graph [ROOT]

A room is a file or a folder at the top level of `tolerance/` (links followed), an arrow an import from one room into
another, a floor the length of the longest way down. ``ROOT`` may be another checkout, to compare.
"""

import ast
import sys
from pathlib import Path


def files(root: Path) -> dict[str, Path]:
    """Module name -> file, of everything that ships."""
    found = {}
    for top in ("tolerance", "runners", "reports"):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            inside = parts if parts[0] == "tolerance" else ("tolerance", *parts)
            if len(inside) > 1 and not (parts[0] == "tolerance" and inside[1] in ("runners", "reports")):
                found[".".join(inside[:-1] if inside[-1] == "__init__" and len(inside) > 2 else inside)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that a file imports, or names in a string."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full if full <= known.keys() else full | {str(node.module)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names & known.keys()


def components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Circles: groups of nodes that reach each other."""

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            for other in graph[todo.pop()] - seen:
                seen.add(other)
                todo.append(other)
        return seen

    reached = {node: reach(node) for node in graph}
    groups = {frozenset(n for n in seen if node in reached[n]) for node, seen in reached.items() if node in seen}
    return [set(group) for group in groups if group]


def floors(graph: dict[str, set[str]]) -> int:
    """Rooms on the longest way down; circles count once."""
    depth: dict[str, int] = {}

    def down(node: str, above: frozenset[str]) -> int:
        if node not in depth:
            below = [down(other, above | {node}) for other in graph[node] if other not in above | {node}]
            depth[node] = 1 + max(below, default=0)
        return depth[node]

    return max(down(node, frozenset()) for node in graph)


def summary(root: Path) -> str:
    """One line for the top level, one for all files."""
    known = files(root)
    whole = {name: imports(path, known) - {name, "tolerance.__init__"} for name, path in known.items()}
    whole.pop("tolerance.__init__", None)
    rooms: dict[str, set[str]] = {}
    for name, targets in whole.items():
        room = name.split(".")[1]
        rooms.setdefault(room, set()).update(t.split(".")[1] for t in targets if t.split(".")[1] != room)
    rooms = {room: {t for t in targets if t in rooms} for room, targets in rooms.items()}
    lines = [
        f"{what}: {len(graph)} rooms, {floors(graph)} floors, {sum(map(len, graph.values()))} arrows, "
        f"{len(components(graph))} circles"
        for what, graph in (("top level", rooms), ("all files", whole))
    ]
    return "\n".join([*lines, *(f"circle: {' <-> '.join(sorted(one))}" for one in components(whole))])


if __name__ == "__main__":
    print(summary(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent))
