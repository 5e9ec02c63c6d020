"""Files that people bring: tables as spreadsheets, R and other programs write them, arrays, and pictures of every depth."""

import gzip
import struct
import subprocess
import sys
import zlib
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

import registry
from kernels import _inputs
from kernels._cli import cli

BUNDLED = resources.files("sklearn.datasets") / "data"
SHAPES = {
    "breast_cancer.csv": (569, 31),
    "diabetes_data_raw.csv.gz": (442, 10),
    "diabetes_target.csv.gz": (442, 1),
    "digits.csv.gz": (1797, 65),
    "iris.csv": (150, 5),
    "linnerud_exercise.csv": (20, 3),
    "linnerud_physiological.csv": (20, 3),
    "wine_data.csv": (178, 14),
}


@pytest.fixture
def read(tmp_path):
    """Write a file, read it, and return its one array and what was said about it."""

    def read(content, columns="", name="x.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        said = []
        (array,) = _inputs.read(path, columns, said.append).values()
        return array.tolist(), said

    return read


@pytest.mark.parametrize("name", sorted(file.name for file in BUNDLED.iterdir() if ".csv" in file.name))
def test_every_table_that_scikit_learn_bundles_is_read(name):
    ((stem, array),) = _inputs.read(Path(str(BUNDLED / name)), tell=lambda line: None).items()
    assert (stem, array.shape) == (name.partition(".")[0], SHAPES[name])
    assert np.isfinite(array).all()


@pytest.mark.parametrize(
    "text",
    [
        "1.5,2\n3,40\n",
        "a,b\n1.5,2\n3,40\n",
        "a;b\n1.5;2\n3;40\n",
        "a\tb\n1.5\t2\n3\t40\n",
        "a|b\n1.5|2\n3|40\n",
        "  1.5   2.0\n  3.0  40.0\n",
        "# a b\n1.5 2\n3 40\n",
        "\ufeff1.5,2\n3,40\n",
        "1.5, 2\r\n\r\n3, 40\r\n",
        '"a, b",c\n"1.5","2"\n3,4e1\n',
        "only\n1.5,2\n3,40\n",
    ],
)
def test_tables_of_many_dialects_are_the_same_table(read, text):
    assert read(text) == ([[1.5, 2], [3, 40]], [])


def test_commas_are_decimal_only_where_nothing_contradicts(read):
    assert read("a;b\n1,5;2\n3;40\n") == ([[1.5, 2], [3, 40]], ["x.csv: commas are read as decimal points"])
    assert read("a;b\n1,500;2.5\n3;40\n") == ([[2.5], [40]], ["x.csv: 1 column without numbers left out: a ('1,500')"])


def test_what_is_no_number_or_missing_is_left_out_with_a_word(read):
    text = "name,age,height,note\nAnn,5,1.5,\nBob,?,1.6,\nCy,7,NA,\nDi,8,nan,\nEve,9,1.7,\n"
    columns = "x.csv: 2 columns without numbers left out: name ('Ann'), note (empty)"
    assert read(text) == ([[5, 1.5], [9, 1.7]], [columns, "x.csv: 3 of 5 rows left out: a value is missing"])
    assert read(text, "age")[0] == [[5], [7], [8], [9]]
    assert read("5.1,3.5,setosa\n4.9,3.0,setosa\n")[0] == [[5.1, 3.5], [4.9, 3.0]]  # words in every row are no heading
    assert read("1,2\n3\n") == ([[1, 2]], ["x.csv: 1 of 2 rows left out: a value is missing"])


def test_a_heading_with_numbers_in_it_is_pointed_out(read):
    assert read("2,4,setosa\n1,2,0\n3,4,1\n") == (
        [[1, 2, 0], [3, 4, 1]],
        ["x.csv: the first line is taken for a heading: 2, 4, setosa"],
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [("b", [2]), ("c,a", [3, 1]), ("2-3", [2, 3]), ("3,b", [3, 2]), ("1,1-2", [1, 2]), ("2020", [4]), (" a , 2", [1, 2])],
)
def test_columns_are_chosen_by_name_or_position(read, columns, expected):
    assert read("a,b,c,2020\n1,2,3,4\n", columns)[0] == [expected]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\n1,2\n", "d", "it has no column 'd'; there are a, b"),
        ("a,b\n1,2\n", "0", "it has no column '0'; there are a, b"),
        ("1,2\n", "2-3", "it has no column '2-3'; there are 1, 2"),
        ("a,a\n1,2\n", "a", "2 columns are called 'a'; choose by position, such as 1"),
        ("name,b\nAnn,2\n", "name,b", "these columns hold no numbers: name ('Ann')"),
        ("a,b\nx,y\n", "", "these columns hold no numbers: a ('x'), b ('y')"),
        ("a,b\n", "", "it has no rows of numbers"),
        ("\n\n", "", "it has no rows of numbers"),
        ("1,NA\n,2\n", "", "each of its 2 rows lacks a value in some column"),
        ("1,2\n3,4\n5,6,7\n", "", "the line that begins with ['5', '6', '7'] has 3 columns, most have 2"),
        ("1,2\n3,4\n".encode("utf-16"), "", "it is no text in UTF-8"),
    ],
)
def test_a_table_that_cannot_serve_is_refused_with_its_reason(read, text, columns, message):
    with pytest.raises(ValueError, match=r"x\.csv cannot be read: ") as refusal:
        read(text, columns)
    assert message in str(refusal.value)


def test_compressed_tables_are_read_and_cut_ones_refused(read):
    packed = gzip.compress(b"a,b\n1,2\n")
    assert read(packed, name="x.tsv.gz")[0] == [[1, 2]]
    assert read(packed, name="X.CSV.GZ")[0] == [[1, 2]]
    for broken in (packed[:-9], b"1,2\n", packed[:12] + b"\xff" * 9):
        with pytest.raises(ValueError, match=r"x\.csv\.gz cannot be read: "):
            read(broken, name="x.csv.gz")


def test_parquet_is_read(tmp_path, read):
    frame = pl.DataFrame(
        {"id": ["u", "v", "w"], "n": [1, 2, None], "x": [0.5, 1.5, 2.5], "day": [None, None, None], "ok": [True] * 3}
    )
    frame.write_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    array, said = read(content, name="x.parquet")
    assert array == [[1, 0.5, 1], [2, 1.5, 1]]
    assert said == [
        "x.parquet: 2 columns without numbers left out: id ('u'), day (empty)",
        "x.parquet: 1 of 3 rows left out: a value is missing",
    ]
    assert read(content, "x", "x.parquet")[0] == [[0.5], [1.5], [2.5]]
    with pytest.raises(ValueError, match=r"x\.parquet cannot be read"):
        read(content[:40], name="x.parquet")


def test_without_polars_a_table_names_the_remedy(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n")
    code = (
        "import pathlib, sys\nsys.modules['polars'] = None\nfrom kernels import _inputs\n"
        "try:\n    _inputs.read(pathlib.Path(sys.argv[1]))\nexcept ValueError as refusal:\n    print(refusal)\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "x.csv"]
    done = subprocess.run(command, cwd=Path(registry.__file__).parent, capture_output=True, text=True, check=True)
    expected = "cannot be read: a table needs the package polars, which is not installed (pip install polars)\n"
    assert done.stdout == f"{tmp_path / 'x.csv'} {expected}"


def test_columns_of_arrays_are_chosen_by_position(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    assert _inputs.read(tmp_path / "x.npy", "3,1")["x"].tolist() == [[2, 0], [5, 3]]
    np.save(tmp_path / "flat.npy", np.arange(6))
    np.savez(tmp_path / "two.npz", a=np.eye(2), b=np.eye(2))
    for name in ("flat.npy", "two.npz"):
        with pytest.raises(ValueError, match="columns 1 are of one array with two axes or more"):
            _inputs.read(tmp_path / name, "1")


@pytest.mark.parametrize(
    ("mode", "dtype", "suffix"),
    [
        ("L", "uint8", "png"),
        ("LA", "uint8", "png"),
        ("RGB", "uint8", "png"),
        ("RGBA", "uint8", "png"),
        ("I;16", "uint16", "png"),
        ("I;16", "uint16", "tif"),
        ("I", "int32", "tif"),
        ("F", "float32", "tif"),
        ("CMYK", "uint8", "tif"),
    ],
)
def test_a_picture_keeps_its_channels_and_its_depth(tmp_path, mode, dtype, suffix):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = (np.random.default_rng(0).random((5, 4, channels)) * (0.9 if dtype == "float32" else 60_000)).astype(dtype)
    Image.fromarray(pixels.squeeze(), mode if channels > 1 else None).save(tmp_path / f"x.{suffix}")
    array = _inputs.read(tmp_path / f"x.{suffix}")["x"]
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, pixels)


def png(bits, kind, channels, *chunks):
    """Return a PNG of 2 x 1 pixels, which Pillow cannot write for itself."""
    rows = b"\0" + bytes(range(2 * channels * bits // 8))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, kind, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


PALETTE = (b"PLTE", bytes(range(100, 106)))


def test_a_picture_with_a_palette_or_a_transparent_colour_has_its_colours(read):
    assert read(png(8, 3, 1, PALETTE), name="x.png")[0] == [[[100, 101, 102], [103, 104, 105]]]
    assert read(png(8, 3, 1, PALETTE, (b"tRNS", b"\7")), name="x.png")[0] == [[[100, 101, 102, 7], [103, 104, 105, 255]]]
    assert read(png(8, 2, 3, (b"tRNS", b"\0\0\0\1\0\2")), name="x.png")[0] == [[[0, 1, 2, 0], [3, 4, 5, 255]]]
    assert read(png(8, 0, 1, (b"tRNS", b"\0\1")), name="x.png")[0] == [[[0, 255], [1, 0]]]
    assert read(png(8, 6, 4), "R,A", "x.png")[0] == [[[0, 3], [4, 7]]]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (png(16, 2, 3), "x.png"),
        (png(16, 6, 4), "x.png"),
        (png(16, 4, 2), "x.png"),
        (png(16, 0, 1, (b"tRNS", b"\0\1")), "x.png"),
        (b"P6 2 1 65535\n" + bytes(12), "x.ppm"),
    ],
)
def test_a_picture_that_would_lose_half_its_bits_is_refused(read, content, name):
    with pytest.raises(ValueError, match=r"more than 8 bits .*; save its pixels as \.npy"):
        read(content, name=name)


def test_what_pillow_may_leave_out_is_said(tmp_path):
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 99)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    said = []
    _inputs.read(tmp_path / "x.gif", tell=said.append)
    assert said == ["x.gif: the first of its 2 pictures is taken"]


def test_a_picture_too_large_to_open_is_refused(tmp_path, monkeypatch):
    Image.new("L", (40, 40)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="not a picture, or a damaged one: Image size"):
        _inputs.read(tmp_path / "x.png")


def test_the_command_takes_columns_and_says_what_it_left_out(tmp_path):
    (tmp_path / "x.csv").write_text("name,a,b,c\nAnn,1,2,3\nBob,4,5,?\nCy,6,7,8\n")
    arguments = ["explain", "meanshift_step", "--input", str(tmp_path / "x.csv")]
    done = CliRunner().invoke(cli, arguments)
    assert "x.csv, n = 2, d = 3" in done.stdout
    assert done.stderr.splitlines() == [
        "x.csv: 1 column without numbers left out: name ('Ann')",
        "x.csv: 1 of 3 rows left out: a value is missing",
    ]
    done = CliRunner().invoke(cli, [*arguments, "--columns", "a-b"])
    assert "it has no column 'a-b'; there are name, a, b, c" in str(done.exception)
    done = CliRunner().invoke(cli, [*arguments, "--columns", "a,3"])
    assert "x.csv, n = 3, d = 2" in done.stdout
    assert not done.stderr
    done = CliRunner().invoke(cli, ["explain", "meanshift_step", "--columns", "a"])
    assert done.exit_code == 2
    assert "--columns chooses among the columns of a file" in done.stderr
