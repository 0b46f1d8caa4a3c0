import json

import pandas as pd
import pytest

from analysis.sources.files import read_table_file
from archscale.registry import UserError

TABLE = pd.DataFrame({"arch": ["a", "b, c", "d"], "compute": [1e18, 2.5e18, 3e19], "loss": [2.5, 2.25, 2.125]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", "arch,compute,loss\na,1e18,2.5\n"),
        ("bom.csv", "\ufeffarch,compute,loss\na,1e18,2.5\n"),
        ("blanks.csv", " arch , compute,loss \na,1e18,2.5\n"),
        ("semicolons.csv", "arch;compute;loss\na;1e18;2.5\n"),
        ("tabs.tsv", "arch\tcompute\tloss\na\t1e18\t2.5\n"),
        ("windows.csv", "arch,compute,loss\r\na,1e18,2.5\r\n\r\n"),
        ("quoted.csv", '"arch","compute","loss"\n"a","1e18","2.5"\n'),
        ("rows.jsonl", '{"arch": "a", "compute": 1e18, "loss": 2.5}\n\n'),
    ],
)
def test_every_spelling_of_a_table_gives_the_same_rows(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    frame = read_table_file(tmp_path / name)
    assert frame.to_dict("records") == [{"arch": "a", "compute": 1e18, "loss": 2.5}]


def test_what_pandas_writes_is_read_back_from_all_formats(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    TABLE.to_parquet(tmp_path / "t.parquet")
    TABLE.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        pd.testing.assert_frame_equal(read_table_file(tmp_path / name), TABLE, check_dtype=False)


def test_nested_json_becomes_columns_with_dots(tmp_path):
    row = {"config": {"lr": 0.1, "model": {"width": 64}}, "loss": 2.0}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    assert list(read_table_file(tmp_path / "t.jsonl").columns) == ["config.lr", "config.model.width", "loss"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("two.csv", "loss,x, loss\n1,2,3\n", "'loss' stands twice"),
        ("ragged.csv", "x,loss\n1,2\n3,4,5\n", "line 3"),
        ("wide.csv", "x,loss\n1,2,3\n4,5,6\n", "2 names in its first line and 3 columns below"),
        ("empty.csv", "", "is empty"),
        ("picture.csv", b"\x89PNG\r\n\xff\xfe", "bytes that are not text"),
        ("broken.jsonl", '{"x": 1}\n{"x": \n', "line 2 is no JSON"),
        ("list.jsonl", "[1, 2]\n", "line 1 is no JSON object"),
        ("none.jsonl", "\n", "is empty"),
        ("false.parquet", "x,loss\n1,2\n", "is no Parquet file"),
        ("t.xlsx", "", "ends in one of .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_table_file(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    (tmp_path / "t.csv").write_text("x,loss\n")
    frame = read_table_file(tmp_path / "t.csv")
    assert (list(frame.columns), len(frame)) == (["x", "loss"], 0)


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name, words in (("absent.csv", "no such file"), ("folder.csv", "is a folder")):
        with pytest.raises(UserError, match=words):
            read_table_file(tmp_path / name)
