"""The table of clips: what goes in comes out, and what cannot be used is refused by name."""

import pandas as pd
import pytest

from earshot.clips.table import COLUMNS, DatasetError, make_table, read_clips, write_clips

ROWS = {
    "path": ["b/2.wav", "a/1.wav", "c/with, comma.wav"],
    "label": ["nan", "NA", "1e3"],
    "fold": [2, 1, 3],
    "recording": ["007", "null", "1.50"],
    "start_s": [0.5, float("nan"), 1 / 3],
    "end_s": [4.5, float("nan"), 4.0],
    "salience": [1, 2, float("nan")],
}


def table(**changes: list) -> pd.DataFrame:
    return make_table(pd.DataFrame(ROWS | changes))


def test_text_that_looks_like_numbers_or_nothing_survives(tmp_path):
    write_clips(tmp_path / "clips.csv", table())
    clips = read_clips(tmp_path / "clips.csv")
    assert list(clips.columns) == COLUMNS
    assert clips["path"].tolist() == ["a/1.wav", "b/2.wav", "c/with, comma.wav"]
    assert clips["label"].tolist() == ["NA", "nan", "1e3"]
    assert clips["recording"].tolist() == ["null", "007", "1.50"]
    assert clips["fold"].tolist() == [1, 2, 3]
    assert clips["start_s"].isna().tolist() == [True, False, False]
    assert clips["start_s"].iloc[2] == 1 / 3
    assert clips["salience"].tolist()[:2] == [2, 1]


def test_the_file_is_plain(tmp_path):
    write_clips(tmp_path / "clips.csv", table())
    assert (tmp_path / "clips.csv").read_bytes() == (
        b"path,label,fold,recording,start_s,end_s,salience\n"
        b"a/1.wav,NA,1,null,,,2\n"
        b"b/2.wav,nan,2,007,0.5,4.5,1\n"
        b'"c/with, comma.wav",1e3,3,1.50,0.3333333333333333,4.0,\n'
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ["a.wav", "a.wav", "b.wav"]}, "a.wav is listed twice"),
        ({"path": ["/etc/a.wav", "b.wav", "c.wav"]}, "/etc/a.wav must be relative"),
        ({"path": ["a/../../b.wav", "b.wav", "c.wav"]}, r"a/../../b.wav must be relative"),
        ({"label": ["dog", "dog", "dog"]}, "the only class is 'dog'"),
        ({"label": ["dog", "", "cat"]}, "label is empty in row"),
        ({"label": ["dog", "unknown", "cat"]}, r"a class is named 'unknown'.*rename it.*split\.unknown_classes"),
        ({"recording": ["", "x", "y"]}, "recording is empty in row"),
        ({"fold": [0, 1, 2]}, "whole numbers from 1"),
    ],
)
def test_unusable_tables_are_refused(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=message):
        write_clips(tmp_path / "clips.csv", table(**changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a table of clips"),
        ("path,label\na.wav,dog\n", "lacks the column fold"),
        ("path,label,fold,recording,start_s,end_s,salience\na.wav,dog,one,r,,,\n", "one"),
        ("path,label,fold,recording,start_s,end_s,salience\n", "holds no clips"),
    ],
)
def test_a_file_that_is_no_table_says_so(tmp_path, content, message):
    (tmp_path / "clips.csv").write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_clips(tmp_path / "clips.csv")


def test_a_missing_table_names_the_remedy(tmp_path):
    with pytest.raises(DatasetError, match="dvc repro"):
        read_clips(tmp_path / "clips.csv")
