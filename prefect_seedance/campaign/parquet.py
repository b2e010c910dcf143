"""Parquet, where pyarrow is installed: the extra `warehouse`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any

from prefect_seedance.errors import BadInput
from prefect_seedance.text import printable

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    pyarrow = None

MONEY = (12, 6)
"""Digits and decimals of an amount: the API charges up to six of them."""
NO_PARQUET = "reading Parquet needs pyarrow; install it with pip install 'prefect-seedance[warehouse]', or give a CSV"


def has_parquet() -> bool:
    """Whether results can be written as Parquet here."""
    return pyarrow is not None


def rows_of_parquet(content: bytes, most: int) -> list[dict[str, Any]]:
    """The rows of a Parquet file; `BadInput` with the reason where it can't be read or has more than *most*."""
    if pyarrow is None:
        raise BadInput(NO_PARQUET)
    try:
        if (count := pyarrow.parquet.read_metadata(BytesIO(content)).num_rows) > most:  # a few kB can hold millions
            raise BadInput(f"it has {count:,} rows; the most is {most:,}; split it")
        names = pyarrow.parquet.read_schema(BytesIO(content)).names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadInput(f"several columns are called `{printable(twice[0])}`; give each column a name of its own")
        table = pyarrow.parquet.read_table(BytesIO(content))
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
        raise BadInput(f"it is damaged or no Parquet file ({_reason(error)}); write it anew") from error
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except (pyarrow.ArrowException, ValueError, TypeError, OverflowError) as error:
        remedy = "write dates as texts, or in microseconds and of the years 1 to 9999"
        raise BadInput(f"it holds what can't be read here ({_reason(error)}); {remedy}") from error
    return rows


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def parquet_of(rows: Sequence[Mapping[str, object]], types: Mapping[str, type]) -> bytes:
    """*rows* as a Parquet file with the columns *types*: amounts are decimals and never floats."""
    kinds = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        Decimal: pyarrow.decimal128(*MONEY),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in types.items()])
    file = BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), file, compression="zstd")
    return file.getvalue()
