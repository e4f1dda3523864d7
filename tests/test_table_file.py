"""The dialects in which programs write tables, and what is said of a file that cannot be read one way alone."""

import gzip

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tolerance.data.table_file import read_table
from tolerance.errors import SchemaError

TEXT = "item,task,score\na,été,0.5\nb,t,1\n"


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text(TEXT, encoding="utf-8")
    return read_table(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("semicolons.csv", TEXT.replace(",", ";").encode()),
        ("tabs.tsv", TEXT.replace(",", "\t").encode()),
        ("bars.CSV", TEXT.replace(",", "|").encode()),
        ("mark.csv", TEXT.encode("utf-8-sig")),
        ("wide.csv", TEXT.encode("utf-16")),
        ("zipped.csv.gz", gzip.compress(TEXT.encode())),
        ("zipped.csv", gzip.compress(TEXT.encode())),
        ("dos.csv", TEXT.replace("\n", "\r\n").encode()),
        ("commas.csv", TEXT.replace(",", ";").replace("0.5", "0,5").encode()),
        ("both.csv", TEXT.replace(",", ";").replace("été", '"été, hiver"').encode()),
    ],
)
def test_a_table_is_the_same_in_every_dialect(tmp_path, plain, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    read = read_table(path).replace("été, hiver", "été")
    pd.testing.assert_frame_equal(read, plain, check_dtype=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("latin-1"), r"line 2: not UTF-8 \(byte 0xe9; as latin-1 it reads 'a,été,0.5'\). Save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "looks like UTF-16 without its mark"),
        (b"", "is empty"),
        (b"a;b,c\n", "could be separated by comma and semicolon"),
        (b"a,b,c\n1,2,3\n4,5", "last line ends inside a row"),
        (b"a,b,c\n1,2,3,4\n5,6,7,8\n", "more fields than the header has names"),
        (b"a,b,c\n1,2,3\n5,6,7,8\n", "Expected 3 fields in line 3, saw 4"),
        (gzip.compress(TEXT.encode())[:-12], "cannot be read"),
    ],
)
def test_what_cannot_be_read_one_way_is_named_with_its_mend(tmp_path, content, said):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=said):
        read_table(path)


def test_what_pandas_noted_in_a_parquet_file_is_not_needed(tmp_path):
    table = pa.table({"k": pa.array([2**60 + 1, None]), "ok": pa.array([True, None])})
    path = tmp_path / "log.parquet"
    pq.write_table(table.replace_schema_metadata({"pandas": b'{"index_columns": [{"kind": 3}'}), path)
    read = read_table(path)
    assert read["k"][0] == 2**60 + 1
    assert read["ok"].isna().tolist() == [False, True]
