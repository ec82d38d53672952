"""Lists of files and classes, against the folders that their images lie in."""

from pathlib import Path

import pytest

from nsbench.data.label_lists import classes_in
from nsbench.util.errors import NsbenchError

IDS = [f"{name}/img_{number}.png" for name in ("ant", "bee", "cat") for number in range(3)]
WANTED = [name.partition("/")[0] for name in IDS]


def read(tmp_path: Path, content: str | bytes, ids: list[str] = IDS) -> list[str]:
    path = tmp_path / "l.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return classes_in(path, ids, str(tmp_path / "store" / "train"))


def lines(line: str, ids: list[str] = IDS) -> str:
    rows = [(name, name.removesuffix(".png"), name.split("/")[0]) for name in ids]
    return "".join(line.format(id=name, bare=bare, c=c) + "\n" for name, bare, c in rows[::-1])


@pytest.mark.parametrize(
    "line",
    [
        "{id} {c}", "{id}\t{c}", "{id},{c}", "{id}, {c}", "{id}   {c}  ", "{id} \t {c}", "{c} {id}",
        "{c},{id}", '"{id}","{c}"', '"{c}" "{id}"', "./train/{id} {c}", "/far/store/train/{id},{c}",
        "{bare} {c}", "train/{bare},{c}", "{id}\t{c}\t0\t32\t44\t62", "{id},{c} 85 1 499 272 ",
        "{bare},{c} 85 1 499 272 {c} 1 2 3 4", "{id} {c} 0.97", "{id} {c} 1 2 3 4 {c} 5 6 7 8",
        "train\\{id},{c}", "{c}\t./{id}",
    ],
)  # fmt: skip
def test_each_image_gets_its_own_class(tmp_path: Path, line: str) -> None:
    text = lines(line)
    assert read(tmp_path, text) == WANTED
    assert read(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n\r\n").encode()) == WANTED


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("file,class", "{id},{c}"),
        ("ImageId,PredictionString", "{id},{c} 1 2 3 4"),
        ("label,file_name", "{c},{id}"),
        (",Image Path,Label", "0,{id},{c}"),
        ("id\tsplit\tfilename\tclass", "7\ttrain\t{id}\t{c}"),
        ("what\twhere", "{c}\t{id}"),
        ("label,confidence,image", "{c},0.5,{id}"),
    ],
)
def test_headers(tmp_path: Path, head: str, line: str) -> None:
    assert read(tmp_path, f"{head}\n{lines(line)}") == WANTED


def test_names_with_spaces_commas_and_quotes(tmp_path: Path) -> None:
    ids = ["a b/x, y.png", 'a b/"z".png']
    text = '"a b/x, y.png","tench, Tinca tinca"\n"a b/""z"".png",golden retriever\n'
    assert read(tmp_path, text, ids) == ["tench, Tinca tinca", "golden retriever"]
    tabs = "a b/x, y.png\tgreat white shark\n"
    assert read(tmp_path, tabs, ids[:1]) == ["great white shark"]
    with pytest.raises(NsbenchError, match=r"line 1: write .* not 'x\.png golden retriever'; with"):
        read(tmp_path, "x.png golden retriever\n", ["x.png"])


def test_names_go_as_far_as_they_tell_images_apart(tmp_path: Path) -> None:
    assert read(tmp_path, "x.png 1\ny 2\n", ["a/x.png", "b/y.png"]) == ["1", "2"]
    assert read(tmp_path, "n01/x.JPEG 1\n", ["x.png"]) == ["1"]
    assert read(tmp_path, "x.png 1\nx.jpg 2\n", ["x.jpg", "x.png"]) == ["2", "1"]
    assert read(tmp_path, "v1.2 a\nv1.3 b\n", ["v1.3.png", "v1.2"]) == ["b", "a"]
    # of another split and this one
    both = "val/a/x.png 1\ntrain/a/x.png 2\n"
    assert read(tmp_path, both, ["a/x.png"]) == ["2"]
    # below a folder that this machine has not
    assert read(
        tmp_path, both.replace("val", "q/val").replace("train", "q/train"), ["a/x.png"]
    ) == ["2"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x.png 1\n", r"line 1: 'x\.png' may be a/x\.png or b/x\.png: name files with their"),
        ("a/x 1\na/x.png 2\nb/x 1", r"image a/x\.png two classes, '1' in line 1 and '2' in line 2"),
        ("a/x.png 1\n./train/a/x.png 2\nb/x 1", r"gives the image a/x\.png two classes"),
        ("other/a/x.png 1\nval/a/x.png 2\nb/x 1", r"gives the image a/x\.png two classes"),
        ("a/x.png 1\n", r"has no line for the image b/x\.png of .*train: add it"),
        ("a/x.png 1\n\nb/x.png\n", r"line 3: write a file and its class, not 'b/x\.png'"),
        ("a/x.png,\nb/x.png,1\n", r"line 1: write a file and its class"),
        ('a/x.png,"1\nb/x.png,2\n', r"l\.txt, line 1: its quotes cannot be read"),
        ("490\n361\n", r"line 1: '490' is a number without a file, as in ILSVRC's ground truth"),
        ("a/x.png,n1 1 2 3 4 n2 1 2 3 4\nb/x.png,n1", r"line 1: a/x.png has boxes of two classes"),
        ("", r"l\.txt is empty: write lines FILE CLASS"),
        ("a\tb\tc\n1\ta/x.png\tcat\n2\tb/x.png\tcat", r"line 1: its columns are a, b, c: call"),
        ("0,a/x.png,cat\n1,b/x.png,cat\n", r"no header says which of 3 columns is the class"),
    ],
)
def test_lists_that_say_too_little_or_two_things(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(NsbenchError, match=sentence) as caught:
        read(tmp_path, text, ["a/x.png", "b/x.png"])
    assert "\n" not in str(caught.value)


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    for content in ("a/x.png café\n".encode("latin-1"), "a/x.png 1\n".encode("utf-16")):
        with pytest.raises(NsbenchError, match=r"cannot read the labels .* \(it is not UTF-8\)"):
            read(tmp_path, content, ["a/x.png"])
    with pytest.raises(NsbenchError, match=r"cannot read the labels .* \(No such file or direct"):
        classes_in(tmp_path / "none", ["a"], "a")


def test_lines_of_other_images_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(tmp_path, lines("{id} {c}"), IDS[:4]) == WANTED[:4]
    assert "l.txt: 5 lines of 9 for files that" in capsys.readouterr().err
    assert read(tmp_path, lines("{id} {c}")) == WANTED
    assert capsys.readouterr().err == ""


def test_many_files_of_the_same_names_are_matched_quickly(tmp_path: Path) -> None:
    ids = [f"{c:03d}/img_{n:03d}.png" for c in range(200) for n in range(100)]
    assert read(tmp_path, lines("x/{id} {c}", ids), ids) == [name[:3] for name in ids]
