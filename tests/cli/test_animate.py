"""`kernel-zoo animate`: the walk of the points as a picture that moves."""

import numpy as np
import pytest
from click.testing import CliRunner
from commands import require_one_line
from matplotlib.animation import FFMpegWriter, PillowWriter
from PIL import Image

from kernels._cli import cli
from kernels._cli.animate import _plane


@pytest.fixture
def animate(tmp_path, monkeypatch):
    """Return a function that runs the command in an empty folder; `broadcast` compiles nothing."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(cli, ["animate", "--variant", "broadcast", *map(str, arguments)])

    return run


def points(d, n=7):
    return np.random.default_rng(d).standard_normal((n, d))


def frames(path):
    """Return the frames of a GIF as arrays of colours."""
    with Image.open(path) as picture:
        for i in range(picture.n_frames):
            picture.seek(i)
            yield np.asarray(picture.convert("RGB"))


def test_a_gif_has_a_frame_for_the_start_and_one_for_each_step(animate, tmp_path):
    np.save("own.npy", points(2))
    done = animate("own.npy", "--output", "walk.gif", "--steps", 2)
    assert done.exit_code == 0, done.output
    start, *steps = frames("walk.gif")
    assert len(steps) == 2
    assert all((step != start).any() for step in steps)
    assert {file.name for file in tmp_path.iterdir()} == {"own.npy", "walk.gif"}


def test_without_a_file_the_lecture_s_six_clusters_walk_into_a_page(animate):
    done = animate("--output", "walk.html", "--steps", 1)
    assert done.exit_code == 0, done.output
    with open("walk.html") as page:
        assert page.read().count("data:image/png;base64") == 2


@pytest.mark.parametrize("x", [points(1), points(4), points(3, n=1), np.ones((5, 2))], ids=["line", "space", "one", "equal"])
def test_any_points_give_a_picture(animate, x):
    np.save("own.npy", x)
    assert animate("own.npy", "--output", "walk.GIF", "--steps", 1).exit_code == 0


def test_more_than_two_columns_are_seen_along_their_principal_components():
    x = points(3, n=50) * [1, 9, 4]
    (shown, moved), labels = _plane([x, x / 2])
    centred = x - x.mean(axis=0)
    variances = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    np.testing.assert_allclose((shown**2).sum(axis=0), variances[:2])
    np.testing.assert_allclose(moved[0] - moved[1], (shown[0] - shown[1]) / 2)  # all steps in the same plane
    assert labels[0] == f"principal component 1 ({variances[0] / variances.sum():.0%} of the variance)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "walk.png"], "expected a name that ends in .gif, .mp4, .html"),
        (["--output", "nowhere/walk.gif"], "there is no folder"),
        (["--output", "walk.gif", "--columns", "1"], "and there is none"),
        (["--output", "walk.gif", "--kernel", "round"], "argument kernel: expected"),
        (["--output", "walk.gif", "--bandwidth", "0"], "argument bandwidth: expected"),
        (["--output", "walk.gif", "--bandwidth", "nan"], "argument bandwidth: expected"),
        (["--output", "walk.gif", "--variant", "none"], "meanshift_step: no variant 'none' (there are: "),
        (["--output", "walk.gif", "absent.csv"], "'absent.csv' does not exist"),
        (["--output", "walk.gif", "words.csv"], "these columns hold no numbers: a ('x'), b ('y')"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(animate, tmp_path, arguments, message):
    (tmp_path / "words.csv").write_text("a,b\nx,y\n")
    require_one_line(animate(*arguments), message)
    assert {file.name for file in tmp_path.iterdir()} == {"words.csv"}


def test_a_film_needs_ffmpeg(animate, monkeypatch):
    monkeypatch.setattr(FFMpegWriter, "isAvailable", lambda: False)
    done = animate("--output", "walk.mp4")
    assert done.exit_code == 2
    assert "mp4 needs the program ffmpeg, which was not found" in done.stderr


def test_a_drawing_that_fails_leaves_what_was_there(animate, tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no space left")

    (tmp_path / "walk.gif").write_text("before")
    monkeypatch.setattr(PillowWriter, "finish", fail)
    assert "no space left" in str(animate("--output", "walk.gif", "--steps", 1).exception)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]
