"""The pictures that one command makes for the README, of a study that is small enough for a test."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import registry


def test_the_gallery_is_drawn_from_times_of_results_that_passed(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # that would outlast this test
    monkeypatch.syspath_prepend(Path(registry.__file__).parent / "bench")
    import gallery

    monkeypatch.setattr(gallery, "STUDY", (("broadcast", 60),))
    monkeypatch.setattr(gallery, "BATCH_SIZES", (1, 7))
    monkeypatch.setattr(gallery, "BANDWIDTHS", (2.0, 4.0))
    monkeypatch.setattr(gallery, "lecture", lambda: np.random.default_rng(0).standard_normal((40, 2)))
    monkeypatch.setattr(gallery, "load_sample_image", lambda name: np.uint8(np.random.default_rng(0).integers(0, 255, (4, 6, 3))))
    for folder in ("plots", "results"):
        (tmp_path / folder).mkdir()
    done = CliRunner().invoke(gallery.main, ["--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    records = json.loads((tmp_path / "results" / "batch_size.json").read_text())["records"]
    assert [r["options"] for r in records] == [{"batch_size": 1}, {"batch_size": 7}]
    assert all(r["status"] == "timed" and r["error_over_bound"] <= 1 and r["seconds"] >= r["fastest"] > 0 for r in records)
    for name in ("weights.svg", "clusters.svg", "bandwidth.svg", "batch_size.svg"):
        assert "</svg>" in (tmp_path / "plots" / name).read_text()
    with Image.open(tmp_path / "plots" / "photo.jpg") as photo:
        assert photo.size == (1600, 600)


def test_the_pictures_that_are_kept_are_small_enough_for_a_page():
    kept = Path(registry.__file__).parent / "bench" / "plots"
    assert {path.name: path.stat().st_size for path in kept.iterdir() if path.stat().st_size > 200_000} == {}
