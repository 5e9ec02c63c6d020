"""What this machine offers, as the catalogue asks it."""

import sys

from neighbours import KERNEL, ROOT, Machine, distribution, python

from registry import System, Zoo


def test_the_real_system_finds_packages_and_misses_them(monkeypatch):
    assert System().missing("numpy") is None
    assert "pip install no_such_package" in System().missing("no_such_package")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "numba" in System().missing("numba")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in System().missing("cuda")


def test_asking_for_a_module_does_not_import_the_package_it_lies_in(tmp_path):
    (tmp_path / "stray" / "inner").mkdir(parents=True)
    (tmp_path / "stray" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "stray" / "inner" / "kernels.py").write_text(KERNEL.format(name="deep"))
    distribution(tmp_path, "stray", {"matmul": "stray.inner.kernels"})
    there, absent, listed = python(
        """
        import json, registry
        listed = "deep" in [v.name for v in registry.variants("matmul")]
        print(json.dumps([registry.missing("stray.inner.kernels"), registry.missing("stray.inner.nonesuch.deeper"), listed]))
        """,
        path=[tmp_path],
    )
    assert there is None
    assert "stray.inner.nonesuch.deeper, which is not installed (pip install stray)" in absent
    assert listed


def test_numba_alone_does_not_serve_a_device(monkeypatch):
    """Its CUDA target is a package of its own, which the catalogue knows of; on the CPU nobody asks for it."""
    zoo = Zoo(ROOT / "kernels", Machine("numba_cuda"))
    for operation in zoo.operations():
        for variant in zoo.variants(operation):
            assert variant.available is not ("numba" in variant.requires and variant.device == "cuda")
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    assert "pip install 'numba-cuda[cu13]'" in System().missing("numba_cuda")
