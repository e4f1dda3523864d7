"""The outcome table: one row is one item answered under one condition. Everything else agrees on these columns.

`validate` is the only door: what passes has every column of `COLUMNS`, in order, with the stated types; what does not
pass is refused with the row, the column, the value and the mend of every fault.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tolerance.data import contradictions, levels, vocabularies
from tolerance.data.conditions import DENSE as DENSE
from tolerance.data.conditions import KEY, of_methods_alone, one_value_each, told_apart
from tolerance.errors import SchemaError

if TYPE_CHECKING:
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

# The words that are ours; others are taken as the user's own (`tolerance.data.vocabularies`).
TASK_TYPES = ("single-qa", "retrieval", "multi-hop", "aggregation", "reasoning", "knowledge", "other")
SPARSITY_KINDS = ("none", "attention", "kv-cache", "weight", "weight-2:4", "activation", "prompt")
PHASES = ("none", "prefill", "decode", "both", "load")
UNITS = ("none", "causal-pairs", "kv-entries", "target-weights", "model-weights", "activations", "heads", "tokens")
QUERY_POSITIONS = ("before", "after", "both", "no")

Kind = Literal["text", "real", "integer", "flag"]
_LARGEST = 2**63 - 1
_NULLABLE: dict[Kind, pd.Int64Dtype | pd.BooleanDtype] = {"integer": pd.Int64Dtype(), "flag": pd.BooleanDtype()}


@dataclass(frozen=True)
class Column:
    """One column: its kind, what it may hold, and what to do about a value it may not."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    may_be_empty: bool = False
    known: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    below: float | None = None
    mend: str = ""


# Far beyond anything that was measured; what lies above is a slip of unit or column.
_MOST_TOKENS = 1e10
_FRACTION = "Give a fraction of what is removed, 0 for dense; a percentage is divided by 100."

COLUMNS: tuple[Column, ...] = (
    Column("item_id", "text", "the same item has the same id at every level: pairing is the design", required=True),
    Column("cluster", "text", "items that depend on each other: a passage, document, template or user"),
    Column("task", "text", "a set of items with one grading rule", required=True),
    Column(
        "task_type",
        "text",
        "what the task asks of the context",
        required=True,
        known=TASK_TYPES,
    ),
    Column("scope", "real", "tokens of the context that the answer needs", least=0, most=_MOST_TOKENS),
    Column("dispersion", "real", "how spread those tokens are over the context, 0 to 1", least=0, most=1),
    Column("model", "text", "who answered", required=True),
    Column("revision", "text", "commit or hash of the weights"),
    Column("params", "integer", "parameters, all of them", least=0, most=1e16),
    Column("params_active", "integer", "parameters used for one token", least=0, most=1e16),
    Column("n_layers", "integer", "layers", least=1, most=1e5),
    Column("hidden_size", "integer", "width of the residual stream", least=1, most=1e8),
    Column("architecture", "text", "model class or type"),
    Column("training_protocol", "text", "how it was trained, where that is compared"),
    Column("sparsifier", "text", "the method that imposes sparsity; 'dense' imposes none", required=True),
    Column("sparsity_kind", "text", "what is made sparse", known=SPARSITY_KINDS),
    Column("phase", "text", "when it is made sparse", known=PHASES),
    Column("unit", "text", "what the sparsity is a fraction of", known=UNITS),
    Column("sparsity_requested", "real", "the fraction asked for", least=0, below=1, mend=_FRACTION),
    Column("sparsity_realised", "real", "measured on this item, kept over visible", least=0, below=1, mend=_FRACTION),
    Column("level", "real", "what was set where that is no fraction: bits, layers ...", least=0, most=1e15),
    Column("level_unit", "text", "what level counts", mend="Say bits, layers, tokens ..."),
    Column(
        "kv_budget_tokens",
        "integer",
        "KV entries kept, if that was asked for",
        least=1,
        most=_MOST_TOKENS,
    ),
    Column("query_position", "text", "did compression see the question", known=QUERY_POSITIONS),
    Column("trained_sparse", "flag", "was the model trained with this sparsity"),
    Column("options", "text", "options of the method, where one name stands for several"),
    Column("covered_layers", "real", "share of the layers that the method acted on", least=0, most=1),
    Column("context_length", "integer", "nominal tokens of context", least=0, most=_MOST_TOKENS),
    Column("prompt_tokens", "integer", "tokens of the prompt as given to the model", least=0, most=_MOST_TOKENS),
    Column("generated_tokens", "integer", "tokens generated, without the stopping token", least=0, most=_MOST_TOKENS),
    Column("flops_linear", "real", "multiply-adds x 2 in linear layers", least=0, most=1e26),
    Column("flops_attention", "real", "multiply-adds x 2 for the kept query-key pairs", least=0, most=1e26),
    Column("flops_selection", "real", "multiply-adds x 2 spent on choosing what to keep", least=0, most=1e26),
    Column("kv_bytes_allocated", "real", "bytes of KV cache held", least=0, most=1e20),
    Column("kv_bytes_read", "real", "bytes of KV cache read while decoding", least=0, most=1e20),
    Column("seconds", "real", "wall time of the batch divided by its items", least=0, most=1e8),
    Column(
        "score",
        "real",
        "k / n, or a graded score; empty where nothing was graded",
        required=True,
        may_be_empty=True,
        least=0,
        most=1,
        mend="Scale scores to 0..1.",
    ),
    Column("ungraded", "text", "why there is no score: refused, unparsable, timed out, not graded"),
    Column("k", "integer", "parts of the answer that are right", least=0, most=1e9),
    Column("n", "integer", "parts of the answer", least=1, most=1e9),
    Column("correct", "flag", "right or wrong, where the task defines it"),
    Column("answer", "text", "the text that was graded"),
    Column("parse_ok", "flag", "could an answer be read from the text"),
    Column("truncated", "flag", "did generation stop at its limit"),
    Column("chance", "real", "guessing floor by rule", least=0, below=1),
    Column("replicate", "integer", "which repeat of the same condition", least=0, most=1e9),
    Column("seed", "integer", "seed of the item and of sampling"),
    Column("run_id", "text", "the run this row belongs to"),
    Column("batch_shape", "text", "rows x tokens of the batch it was answered in"),
)
NAMES = tuple(column.name for column in COLUMNS)
BY_NAME = {column.name: column for column in COLUMNS}
REQUIRED = tuple(column.name for column in COLUMNS if column.required)
COLUMNS_OF_TEXT = tuple(column.name for column in COLUMNS if column.kind == "text")


def validate(frame: pd.DataFrame, *, source: str = "outcomes", first_row: int = 0) -> pd.DataFrame:
    """Return the table with every column present, ordered and typed, or refuse it.

    Missing optional columns become null; ``replicate`` becomes 0; ``k`` and ``n`` follow from a 0/1 score; an empty
    score whose answer could not be read is ``unparsable``. Names that stand for several methods or models are told
    apart, and levels that are one are written alike: see `tolerance.data.conditions`. ``source`` names the table in
    messages, ``first_row`` is the number of its first row there, where it is a part of a larger one.

    Raises:
        SchemaError: naming row, column, value and mend of the first faults, and how many there are.
    """
    require_columns(frame, COLUMNS, source)
    table = with_counts(levels.settled(typed(frame, COLUMNS, source, first_row)))
    placed = checked_levels(table, COLUMNS, source)
    refuse_faults([*_row_faults(placed), *_contradictions(placed)], source)
    return told_apart(table, placed)


def checked_levels(table: pd.DataFrame, columns: Sequence[Column], source: str) -> pd.DataFrame:
    """A typed table with its levels placed (`levels.placed`), once columns and levels are seen to be right.

    Raises:
        SchemaError: what a column, a word or a level may not be.
    """
    wrong = [*column_faults(table, columns), *vocabularies.misspelt(table, columns), *levels.faults(table)]
    refuse_faults(wrong, source)
    return levels.placed(table)


def _contradictions(table: pd.DataFrame) -> Iterable[str]:
    yield from contradictions.shared(table, COLUMNS_OF_TEXT, REQUIRED)
    yield from contradictions.right_and_wrong(table)
    yield from contradictions.levels_by_item(table)


def refuse_faults(faults: Sequence[str], source: str) -> None:
    """Raise a `SchemaError` with the first faults and their number, if there are any."""
    if faults:
        shown = "\n  ".join(faults[: contradictions.MOST_SHOWN])
        more = (
            f"\n  and {len(faults) - contradictions.MOST_SHOWN} more" if len(faults) > contradictions.MOST_SHOWN else ""
        )
        raise SchemaError(f"{source}: {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n  {shown}{more}")


def level(table: pd.DataFrame) -> pd.Series:
    """Where a row stands on [0, 1): the sparsity realised where it was measured, requested where it was not.

    Of a level that is no fraction it is a place alone: see `levels.placed`.
    """
    table = levels.placed(table)
    return table["sparsity_realised"].fillna(table["sparsity_requested"])


def is_dense(table: pd.DataFrame) -> pd.Series:
    """Rows of the dense baseline."""
    return table["sparsifier"] == DENSE


def require_columns(frame: pd.DataFrame, columns: Sequence[Column], source: str) -> None:
    """Refuse a table without its required columns, without rows, or with columns of other names."""
    names = [column.name for column in columns]
    missing = [column.name for column in columns if column.required and column.name not in frame]
    if not any(name in frame for name in levels.LEVEL_COLUMNS):
        missing.append("sparsity_requested (or level with level_unit, or kv_budget_tokens)")
    if missing:
        raise SchemaError(
            f"{source}: column {_listed(missing)} missing; the table has {_listed(map(str, frame.columns))}. "
            "Rename columns, or map them with a mapping file (tolerance import --help)."
        )
    if frame.empty:
        raise SchemaError(f"{source}: no rows, so there is nothing to analyse. Collect or import outcomes first.")
    unknown = [str(name) for name in frame.columns if name not in names]
    if unknown:
        raise SchemaError(f"{source}: column {_listed(unknown)} unknown. Drop it or map it to one of {_listed(names)}.")


def typed(frame: pd.DataFrame, columns: Sequence[Column], source: str, first_row: int = 0) -> pd.DataFrame:
    """The table with every column, in order and of its type; what is missing is null. Its index numbers the rows."""
    given = frame.set_axis(pd.RangeIndex(first_row, first_row + len(frame)))
    return pd.DataFrame(
        {
            column.name: cast_column(given[column.name], column, source)
            if column.name in given
            else _nulls(column, given.index)
            for column in columns
        }
    )


def _nulls(column: Column, index: pd.Index) -> pd.Series:
    """A column without a value; made from one null, for casting millions takes seconds."""
    kind: Any = {"text": "str", "real": "float64"}.get(column.kind) or _NULLABLE[column.kind]
    return pd.Series(pd.array([np.nan], dtype=kind).repeat(len(index)), index=index)


def with_counts(table: pd.DataFrame) -> pd.DataFrame:
    """A typed table, changed in place: repeats numbered, levels of one value each, parts counted, reasons named."""
    table["replicate"] = table["replicate"].fillna(0)
    table["sparsity_requested"] = one_value_each(table["sparsity_requested"])
    binary = table["n"].isna() & table["score"].isin((0.0, 1.0))
    if binary.any():
        table.loc[binary, "n"] = 1
        table.loc[binary, "k"] = table.loc[binary, "score"].astype("Int64")
    unread = table["score"].isna() & table["ungraded"].isna() & (table["parse_ok"] == False)  # noqa: E712 - null is no False
    if unread.any():
        table["ungraded"] = table["ungraded"].mask(unread.fillna(value=False), "unparsable")
    return table


def cast_column(values: pd.Series, column: Column, source: str) -> pd.Series:
    """Values in the type of a column; an index numbers the rows in messages.

    Raises:
        SchemaError: naming the first that cannot be of it.
    """
    if column.kind == "text":
        if values.dtype == "str":
            return values
        return values.astype(object).where(values.isna(), values.astype(str)).astype("str")
    cast = _numbers(_flags(values) if column.kind == "flag" else values)
    if column.kind == "real":
        _refuse(values, values.notna() & cast.isna(), column, source, "a number")
        return cast.astype("float64")
    wanted = "a whole number" if column.kind == "integer" else "true or false"
    _refuse(values, values.notna() & cast.isna(), column, source, "a number" if column.kind == "integer" else "a flag")
    known = cast.dropna()
    whole = known.isin((0, 1)) if column.kind == "flag" else (known == known.round()) & (known.abs() < _LARGEST)
    _refuse(values, ~whole.reindex(values.index, fill_value=True), column, source, wanted)
    return cast.astype(_NULLABLE[column.kind])


def _flags(values: pd.Series) -> pd.Series:
    """Values with true and false as numbers where they came as texts, as they do beside a value that is neither."""
    if values.dtype.kind in "biuf" or isinstance(values.dtype, pd.Int64Dtype | pd.BooleanDtype):
        return values
    words = {"true": 1, "false": 0}
    return values.astype(object).map(lambda v: words.get(v.strip().casefold(), v) if isinstance(v, str) else v)


def _numbers(values: pd.Series) -> pd.Series:
    """Values as numbers; what is none is null. Whole numbers stay whole, where floats would round them."""
    if isinstance(values.dtype, pd.Int64Dtype | pd.BooleanDtype) or values.dtype.kind in "biuf":
        return values
    try:
        return pd.to_numeric(values, errors="coerce")
    except (TypeError, ValueError, OverflowError):
        return pd.Series([_number(value) for value in values], index=values.index, dtype="float64")


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _refuse(values: pd.Series, wrong: pd.Series, column: Column, source: str, wanted: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        number = values.index[row]
        raise SchemaError(
            f"{source}: row {number}, column {column.name}: {values.iloc[row]!r} is not {wanted} ({column.meaning}); "
            f"{int(wrong.sum())} such rows. Correct them or leave the cells empty."
        )


def column_faults(table: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Faults that one column alone shows, found by pandera, in our words."""
    from pandera.errors import SchemaErrors

    try:
        _schema(columns).validate(table, lazy=True)
    except SchemaErrors as errors:
        return _in_words(errors, {column.name: column for column in columns})
    return []


def _schema(columns: Sequence[Column]) -> "pa.DataFrameSchema":
    import pandera.pandas as pa

    def checks(column: Column) -> Iterable["pa.Check"]:
        if column.kind == "text" and column.required:
            yield pa.Check.str_length(min_value=1)
        if column.kind == "real":
            yield pa.Check(np.isfinite, name="finite")
        if column.least is not None:
            yield pa.Check.ge(column.least)
        if column.most is not None:
            yield pa.Check.le(column.most)
        if column.below is not None:
            yield pa.Check.lt(column.below)

    return pa.DataFrameSchema(
        {c.name: pa.Column(checks=list(checks(c)), nullable=not c.required or c.may_be_empty) for c in columns},
        ordered=True,
    )


def _in_words(errors: "SchemaErrors", by_name: Mapping[str, Column]) -> list[str]:
    cases = errors.failure_cases
    words = []
    for (name, row), group in cases.groupby(["column", "index"], sort=False, dropna=False):
        column = by_name[str(name)]
        value = group["failure_case"].iloc[0]
        seen = "empty" if pd.isna(value) or value == "" else repr(value) if isinstance(value, str) else str(value)
        words.append(f"row {int(row)}, column {name}: {seen}, expected {_expected(column)}. {column.mend}".rstrip())
    return words


def _expected(column: Column) -> str:
    if column.kind == "text":
        return f"a text ({column.meaning})"
    low = "" if column.least is None else f"at least {column.least:g}"
    high = f"at most {column.most:g}" if column.most is not None else ""
    high = f"below {column.below:g}" if column.below is not None else high
    high = high or ("finite" if column.kind == "real" else "")
    return " and ".join(part for part in (low, high) if part) or column.meaning


def _row_faults(table: pd.DataFrame) -> list[str]:
    """Faults that only show when columns are read together."""
    return [
        *contradictions.told(
            table,
            is_dense(table) & (level(table) > 0),
            lambda r: f"sparsifier is '{DENSE}' but sparsity is {level(table)[r]:g}. Name the method or set 0.",
        ),
        *contradictions.told(
            table,
            (table["k"] > table["n"]).fillna(value=False),
            lambda r: f"k = {table['k'][r]} is more than n = {table['n'][r]}. k counts the right parts out of n.",
        ),
        *contradictions.told(
            table,
            ((table["k"] / table["n"] - table["score"]).abs() > 1e-6).fillna(value=False),
            lambda r: (
                f"score {table['score'][r]:g} is not k / n = {table['k'][r]} / {table['n'][r]}. "
                "Give one of them, or mend the other."
            ),
        ),
        *contradictions.told(
            table,
            table["score"].isna() & table["ungraded"].isna(),
            lambda _: (
                "column score: empty, and nothing says why. Give the reason in column ungraded (refused, unparsable, "
                "timed out, not graded ...), or 0 if the answer is wrong."
            ),
        ),
        *contradictions.told(
            table,
            table["score"].notna() & table["ungraded"].notna(),
            lambda r: (
                f"score {table['score'][r]:g} beside ungraded = {table['ungraded'][r]!r}. Leave the score empty if "
                "nothing was graded, or leave ungraded empty."
            ),
        ),
        *contradictions.second_answers(of_methods_alone(table), list(KEY)),
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
