"""`kernel-zoo segment`: pictures of every kind."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from commands import require_one_line
from PIL import Image, PngImagePlugin
from skimage.segmentation import find_boundaries

from kernels._cli import cli
from kernels.segment import segment as segmented

SKY, ROOF = (200, 220, 250), (150, 40, 30)


@pytest.fixture
def segment(tmp_path, monkeypatch):
    """Return a function that runs the command in an empty folder; `broadcast` compiles nothing."""
    monkeypatch.chdir(tmp_path)

    def run(photo, *arguments):
        return CliRunner().invoke(cli, ["segment", "--variant", "broadcast", str(photo), *map(str, arguments)])

    return run


def picture(shape=(6, 9), noise=3):
    """Return a sky above a roof, with some noise."""
    pixels = np.empty((*shape, 3))
    pixels[: shape[0] // 2], pixels[shape[0] // 2 :] = SKY, ROOF
    return np.uint8(pixels + np.random.default_rng(0).integers(0, noise, pixels.shape))


def saved(name, mode="RGB", **options):
    image = Image.fromarray(picture())
    image.convert(mode).save(name, **options)


@pytest.mark.parametrize("space", ["rgb", "lab", "rgb+xy", "lab+xy"])
def test_each_pixel_gets_the_colour_of_its_mode(segment, space):
    saved("x.png")
    done = segment("x.png", "--space", space, "--output", "y.png", "--labels", "y.npy", "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() == ["wrote y.png", "wrote y.npy"]
    found = segmented(picture(), space=space, variant="broadcast")
    np.testing.assert_array_equal(np.load("y.npy"), found.labels)
    painted = np.asarray(Image.open("y.png")).astype(int)
    assert abs(painted - 255 * found.colours[found.labels]).max() <= 0.5 + 1e-6
    assert abs(painted - picture()).max() <= 3
    regions = json.loads(done.stdout)["regions"]
    assert [region["pixels"] for region in regions] == [27, 27]
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) == 2


def test_boundaries_and_each_pixel_s_own_mode_can_be_seen(segment):
    saved("x.png")
    options = "--space", "rgb+xy", "--range", 1, "--min-region", 20
    for name, option in (("regions", []), ("modes", ["--filtered"]), ("edges", ["--boundaries"])):
        assert segment("x.png", *options, *option, "--output", f"{name}.png", "--labels", "y.npy").exit_code == 0
    regions, modes, edges = (np.asarray(Image.open(f"{name}.png")) for name in ("regions", "modes", "edges"))
    assert len(np.unique(regions.reshape(-1, 3), axis=0)) == 2 < len(np.unique(modes.reshape(-1, 3), axis=0))
    drawn = find_boundaries(np.load("y.npy"), mode="outer")
    assert drawn.any()
    np.testing.assert_array_equal(edges, np.where(drawn[..., None], (255, 255, 0), regions))


@pytest.mark.parametrize(
    ("name", "mode"),
    [("x.png", "L"), ("x.png", "1"), ("x.png", "P"), ("x.jpg", "CMYK"), ("x.jpg", "YCbCr"), ("x.gif", "P"), ("x.tif", "F")],
)
def test_pictures_of_other_colours_are_read(segment, tmp_path, name, mode):
    saved(name, mode)
    if mode == "F":
        Image.fromarray(np.float32(picture()[..., 0] / 255)).save(name)
    done = segment(name, "--output", "y.png")
    assert done.exit_code == 0, done.output
    assert np.asarray(Image.open("y.png")).shape == (6, 9, 3)


def test_a_picture_is_turned_as_its_camera_was(segment):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    saved("x.png", exif=exif)
    assert segment("x.png", "--output", "y.png").exit_code == 0
    with Image.open("y.png") as turned:
        assert turned.size == (6, 9)
        assert abs(np.subtract(turned.getpixel((0, 0)), ROOF)).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opacity_is_kept(segment, mode):
    image = Image.fromarray(picture()).convert(mode)
    opacity = np.arange(54, dtype=np.uint8).reshape(6, 9)
    image.putalpha(Image.fromarray(opacity))
    image.save("x.png")
    assert segment("x.png", "--output", "y.png").exit_code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("y.png"))[..., 3], opacity)
    refused = segment("x.png", "--output", "y.jpg")
    assert refused.exit_code == 2
    assert "--output y.jpg: x.png has opacity, which .jpg has not; .png does" in refused.stderr


def test_sixteen_bits_are_read(segment):
    deep = np.uint16(257) * picture()
    np.save("rgb.npy", deep)
    np.save("rgba.npy", np.dstack([deep, np.full((6, 9), 65535, np.uint16)]))
    Image.fromarray(deep[..., 0]).save("grey.png")
    for name, channels in (("rgb.npy", 3), ("rgba.npy", 4), ("grey.png", 3)):
        done = segment(name, "--output", "y.png")
        assert done.exit_code == 0, done.output
        painted = np.asarray(Image.open("y.png"))
        assert painted.shape == (6, 9, channels)
        assert abs(painted[..., 0].astype(int) - picture()[..., 0]).max() <= 3


def test_the_first_of_several_pictures_is_taken(segment):
    Image.fromarray(picture()).save("x.gif", save_all=True, append_images=[Image.new("RGB", (9, 6))])
    done = segment("x.gif", "--output", "y.png")
    assert done.exit_code == 0, done.output
    assert "x.gif: the first of its 2 pictures is taken" in done.stderr


@pytest.mark.parametrize("space", ["lab", "rgb+xy"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_narrow_pictures_and_those_of_one_colour_are_one_region(segment, space, shape):
    Image.fromarray(np.full((*shape, 3), 7, np.uint8)).save("x.png")
    done = segment("x.png", "--space", space, "--output", "y.png")
    assert f"x.png: 1 region of {np.prod(shape)} pixels" in done.stdout


def test_bandwidths_far_too_small_or_too_large_give_a_result(segment):
    saved("x.png")
    for h, count in ((1e-6, len(np.unique(picture().reshape(-1, 3), axis=0))), (1e6, 1)):
        done = segment("x.png", "--range", h, "--output", "y.png", "--json")
        assert len(json.loads(done.stdout)["regions"]) == count


@pytest.mark.parametrize(
    ("photo", "arguments", "message"),
    [
        ("x.png", ["--output", "y.txt"], "--output y.txt: expected a name that ends in .png"),
        ("x.png", ["--output", "nowhere/y.png"], "there is no folder"),
        ("x.png", ["--output", "x.png"], "this is the file that is read"),
        ("x.png", ["--output", "y.png", "--labels", "y.csv"], "--labels y.csv: expected a name that ends in .npy"),
        ("x.png", ["--output", "y.png", "--range", "0"], "--range 0.0: expected a finite number above 0"),
        ("x.png", ["--output", "y.png", "--spatial", "nan", "--space", "lab+xy"], "--spatial nan: expected a finite number"),
        ("x.png", ["--output", "y.png", "--spatial", "3"], "--spatial: --space lab has no places; lab+xy does"),
        ("x.png", ["--output", "y.png", "--kernel", "round"], "argument kernel: expected gaussian"),
        ("x.png", ["--output", "y.png", "--variant", "none"], "meanshift_step: no variant 'none' (there are: "),
        ("absent.png", ["--output", "y.png"], "'absent.png' does not exist"),
        ("text.png", ["--output", "y.png"], "text.png cannot be read: not a picture"),
        ("empty.png", ["--output", "y.png"], "empty.png is empty; expected a picture"),
        ("cut.png", ["--output", "y.png"], "cut.png cannot be read: not a picture, or a damaged one"),
        ("bomb.png", ["--output", "y.png"], "bomb.png cannot be read: not a picture, or a damaged one: Image size"),
        ("dark.tif", ["--output", "y.png"], "dark.tif cannot be read: its pixels are from -1.0 to 2.0"),
        ("line.npy", ["--output", "y.png"], "line.npy holds an array of shape (3,)"),
        ("long.npy", ["--output", "y.png"], "expected uint8, uint16 or floats from 0 to 1, got int64"),
        ("nan.npy", ["--output", "y.png"], "expected floats from 0 to 1, got nan"),
    ],
)
def test_what_cannot_be_segmented_is_refused_in_one_line(segment, tmp_path, photo, arguments, message):
    saved("x.png")
    for name, content in {"text.png": "no picture", "empty.png": ""}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "cut.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    header = b"IHDR", (100_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    with open("bomb.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        PngImagePlugin.putchunk(file, *header)
        PngImagePlugin.putchunk(file, b"IDAT", b"")
    Image.fromarray(np.float32([[-1, 2]])).save("dark.tif")
    np.save("line.npy", np.zeros(3))
    np.save("long.npy", np.zeros((2, 2), np.int64))
    np.save("nan.npy", np.full((2, 2), np.nan))
    before = {file.name for file in tmp_path.iterdir()}
    require_one_line(segment(photo, *arguments), message)
    assert {file.name for file in tmp_path.iterdir()} == before
