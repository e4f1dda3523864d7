"""Mutations of bytes, tables and trees; the same generator gives the same input."""

import copy
import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Rng = np.random.Generator
TEXTS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e308", "1e999", "1e19", "9223372036854775808", "-1", "0", "1", "2", "7"),
    *(
        "0.5",
        "1.0000001",
        "-0.0",
        "true",
        "FALSE",
        "yes",
        "None",
        "NULL",
        "N/A",
        "0x10",
        "1_000",
        "1,5",
        "50%",
        "1e-320",
    ),
    *(
        "\u202e",
        "\x1b[2J",
        "\ufeffa",
        "\x00",
        "é",
        "Dense ",
        "dense",
        "\uff24ense",
        "=1+1",
        '"',
        "'",
        "a\nb",
        "½",
        "\uff11\uff12",
    ),
    *("2026-13-45", "12:30:61", "x" * 3000, "9" * 400, "{}", "[]", "<script>", "../../etc", "#", "&a", "*a", "!!int x"),
    *("top-k", "streaming", "single-qa", "causal-pairs", "before", "none", "0.3", "0.30000000000000004", "100", "0.95"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, 1.5, -0.0, 1e300, 10**19, -(10**30), 10**400, math.nan, math.inf, -math.inf),
    *([], {}, [[]], [None], {"a": 1}, [1, 2], ["dense"], {"": None}),
    *TEXTS[:60],
)


def pick(rng: Rng, among: Any) -> Any:
    """One of a sequence."""
    return among[int(rng.integers(len(among)))]


def bytes_mutated(rng: Rng, content: bytes) -> bytes:
    """Bits flipped, parts cut out, doubled, moved, overwritten, put in."""
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if not made:
            return bytes(made)
        at, n = int(rng.integers(len(made))), int(rng.integers(1, 40))
        match int(rng.integers(7)):
            case 0:
                made[at] ^= 1 << int(rng.integers(8))
            case 1:
                del made[at : at + n]
            case 2:
                made[at:at] = made[at : at + n]
            case 3:
                made[at : at + n] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
            case 4:
                del made[at:]
            case 5:
                made[at:at] = str(pick(rng, TEXTS)).encode("utf-8", "replace")
            case _:
                made[at] = int(pick(rng, (0, 0xFF, 0xC3, 0x22, 0x0A, 0x2C, 0x3B, 0x5B, 0x7B)))
    return bytes(made)


_TEXTS: dict[int, str] = {}


def _text(key: int, table: pd.DataFrame) -> str:
    """A table as CSV; the valid inputs are few and live as long as the process."""
    if key not in _TEXTS:
        _TEXTS[key] = table.to_csv(index=False)
    return _TEXTS[key]


def csv_mutated(rng: Rng, table: pd.DataFrame) -> bytes:
    """Cells, rows, columns and dialects of a CSV file; now and then its bytes."""
    rows = [list(row) for row in csv.reader(io.StringIO(_text(id(table), table)))]
    for _ in range(int(rng.integers(1, 5))):
        row, column = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
        match int(rng.integers(12)):
            case 0 | 1 | 2 | 3:
                rows[row][min(column, len(rows[row]) - 1)] = pick(rng, TEXTS)
            case 4:
                value = pick(rng, TEXTS)
                rows = [rows[0], *([*one[:column], value, *one[column + 1 :]] for one in rows[1:])]
            case 5 if len(rows[0]) > 2:
                rows = [one[:column] + one[column + 1 :] for one in rows]
            case 6:
                rows.insert(row, list(rows[row]))
            case 7 if len(rows) > 2:
                del rows[row]
            case 8:
                other = int(rng.integers(len(rows)))
                rows[row], rows[other] = rows[other], rows[row]
            case 9:
                rows[0][column] = pick(rng, (f"{rows[0][column]}s", rows[0][0], "", rows[0][column].upper(), "extra"))
            case 10:
                rows[row] = [*rows[row], pick(rng, TEXTS)] if rng.random() < 0.5 else rows[row][:-1] or rows[row]
            case _:
                rows = [
                    [*one, "x" if i else pick(rng, ("note", "chance_level", "score"))] for i, one in enumerate(rows)
                ]
    file = io.StringIO()
    csv.writer(file, delimiter=pick(rng, ",,,,,,;\t|")).writerows(rows)
    encoding = pick(rng, ("utf-8",) * 12 + ("utf-16", "latin-1", "utf-8-sig"))
    content = file.getvalue().encode(encoding, "replace")
    return bytes_mutated(rng, content) if rng.random() < 0.15 else content


_ODD: tuple[Callable[[int], pa.Array], ...] = (
    lambda n: pa.array([10**19] * n, pa.uint64()),
    lambda n: pa.array([None] * n),
    lambda n: pa.array([[1]] * n),
    lambda n: pa.array([{"a": 1}] * n),
    lambda n: pa.array([b"\xff\xfe"] * n),
    lambda n: pa.array([True, None] * n).slice(0, n),
    lambda n: pa.array([2**40] * n, pa.timestamp("us")),
    lambda n: pa.array(["a"] * n).dictionary_encode(),
    lambda n: pa.array([0.5] * n, pa.float32()),
    lambda n: pa.array([1] * n, pa.int8()),
    lambda n: pa.array([1] * n).cast(pa.decimal128(25, 2)),
    lambda n: pa.array([math.nan] * n),
    lambda n: pa.array([math.inf] * n),
    lambda n: pa.array([1] * n, pa.duration("s")),
)


def parquet_mutated(rng: Rng, table: pd.DataFrame) -> bytes:
    """Columns of other types, values, or the file's bytes."""
    made, draw = pa.Table.from_pandas(table, preserve_index=False), rng.random()
    if draw < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(made.num_columns))
            column = pick(rng, _ODD)(made.num_rows)
            if rng.random() < 0.5:
                value = pick(rng, VALUES)
                try:
                    column = pa.array([*made[at].to_pylist()[1:], value], from_pandas=False)
                except (pa.ArrowException, OverflowError, TypeError, ValueError):
                    continue
            made = made.set_column(at, made.column_names[at], column)
    elif draw < 0.6:
        metadata = {"pandas": bytes_mutated(rng, (made.schema.metadata or {}).get(b"pandas", b"{}"))}
        made = made.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(made, sink)
    content = sink.getvalue().to_pybytes()
    return bytes_mutated(rng, content) if draw >= 0.6 else content


def _places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(place for key, value in inside for place in _places(value, (*at, key)))]


def _replaced(tree: Any, at: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    holder = tree
    for key in at[:-1]:
        holder = holder[key]
    change(holder, at[-1])
    return tree


def tree_mutated(rng: Rng, tree: Any) -> Any:
    """Values replaced, removed, wrapped, renamed."""
    tree = json.loads(json.dumps(tree))
    for _ in range(int(rng.integers(1, 4))):
        places = [place for place in _places(tree) if place]
        if not places:
            return copy.deepcopy(pick(rng, VALUES))
        at = pick(rng, places)

        def change(holder: Any, key: Any, how: int = int(rng.integers(6))) -> None:
            match how:
                case 0 | 1 | 2:
                    holder[key] = copy.deepcopy(pick(rng, VALUES))
                case 3:
                    del holder[key]
                case 4:
                    holder[key] = [holder[key]]
                case _ if isinstance(holder, dict):
                    holder[pick(rng, (f"{key}s", "extra", "", str(key).upper()))] = holder.pop(key)
                case _:
                    holder.append(holder[key])

        tree = _replaced(tree, at, change)
    return tree


def yaml_mutated(rng: Rng, tree: Any) -> bytes:
    """A mutated tree as YAML or JSON, or mutated text."""
    made = tree_mutated(rng, tree) if rng.random() < 0.7 else tree
    try:
        text = yaml.safe_dump(made, allow_unicode=True) if rng.random() < 0.7 else json.dumps(made)
    except (yaml.YAMLError, ValueError):
        text = repr(made)
    content = text.encode("utf-8", "replace")
    draw = rng.random()
    if draw < 0.02:
        return b"[" * 3000
    if draw < 0.04:
        return (
            content + b"\na: &a [x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121))
        )
    return bytes_mutated(rng, content) if made is tree or draw < 0.2 else content


def json_mutated(rng: Rng, tree: Any) -> bytes:
    """A mutated tree as JSON, or mutated text."""
    made = tree_mutated(rng, tree) if rng.random() < 0.85 else tree
    content = json.dumps(made).encode()
    return bytes_mutated(rng, content) if made is tree or rng.random() < 0.05 else content
