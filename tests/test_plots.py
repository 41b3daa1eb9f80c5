"""Plots for a paper: real PDF and PNG files, the same for the same runs."""

from PIL import Image

from editbench.report import tell, write_plots
from tests.drawn import make_run


def test_pdf_and_png_hold_what_the_page_s_plots_show_and_are_the_same_each_time(tmp_path):
    content = tell([make_run(tmp_path / "one"), make_run(tmp_path / "two", shift=1.5)])
    written = write_plots(content, tmp_path / "paper")
    names = [f"{name}.{form}" for name in ("scores", "means", "differences", "coverage") for form in ("pdf", "png")]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "paper").iterdir()) == sorted(names)
    write_plots(content, tmp_path / "again")
    for path in written:
        data = path.read_bytes()
        assert data == (tmp_path / "again" / path.name).read_bytes()
        if path.suffix == ".pdf":
            assert data.startswith(b"%PDF-")
            assert b"/Subtype /Type3" not in data
            assert b"CreationDate" not in data
            continue
        with Image.open(path) as picture:
            assert picture.width > 1000
            assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
            assert len(picture.convert("RGB").getcolors(2**24) or ()) > 10


def test_a_run_without_scores_has_the_plot_of_its_coverage_alone(tmp_path):
    content = tell([make_run(tmp_path / "none", num=2)])
    assert [path.name for path in write_plots(content, tmp_path / "paper")] == ["coverage.pdf", "coverage.png"]
