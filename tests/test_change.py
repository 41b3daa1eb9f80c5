"""How much an edit changed, against scikit-image's own measures and against pictures whose change is known."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from editbench.stats import change as module
from editbench.stats.change import change, change_map
from tests.conftest import photo


def picture(name: str = "coffee.png") -> Image.Image:
    return Image.open(io.BytesIO(photo(name))).convert("RGB")


def noisy(image: Image.Image, levels: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, levels, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("rows", [1024, 64])
@pytest.mark.parametrize("levels", [2, 20, 200])
def test_psnr_and_ssim_are_those_of_scikit_image_whatever_is_read_at_a_time(monkeypatch, levels, rows):
    monkeypatch.setattr(module, "_ROWS", rows)
    source = picture()
    edit = noisy(source, levels)
    before, after = np.asarray(source), np.asarray(edit)
    options = {"channel_axis": -1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, whole = structural_similarity(before, after, data_range=255, full=True, **options)
    found = change(source, edit)
    assert found.psnr_db == pytest.approx(peak_signal_noise_ratio(before, after))
    assert found.ssim == pytest.approx(whole.mean())  # over all pixels: scikit-image's own mean leaves out the border
    differences = np.abs(before.astype(int) - after).max(-1)
    assert found.changed == pytest.approx((differences > 16).mean())


def test_the_source_itself_has_no_change():
    found = change(picture(), picture())
    assert (found.psnr_db, found.changed) == (None, 0.0)
    assert found.ssim == pytest.approx(1)


def test_black_to_white_is_the_largest_change():
    found = change(Image.new("RGB", (30, 20)), Image.new("RGB", (30, 20), "white"))
    assert (found.psnr_db, found.changed) == (0.0, 1.0)
    assert found.ssim == pytest.approx(0, abs=1e-3)


def edited_on_the_left(source: Image.Image) -> Image.Image:
    edit = source.copy()
    edit.paste("lime", (0, 0, source.width // 2, source.height))
    return edit


def test_outside_a_mask_only_the_rest_counts():
    source = picture()
    edit = edited_on_the_left(source)
    mask = Image.new("L", (source.width // 2, source.height // 2))  # of another size than the source
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    outside = change(source, edit, mask)
    assert (outside.psnr_db, outside.changed) == (None, 0.0)
    assert 0.97 < outside.ssim < 1  # some windows reach over the mask's edge
    assert change(source, edit).changed == pytest.approx(0.5, abs=0.02)
    assert change(source, edit, Image.new("RGB", (9, 9), "white")) is None
    assert change(source, edit, Image.new("1", (9, 9))) == change(source, edit)


def test_an_edit_of_another_size_is_scaled_to_the_source():
    source = picture()
    found = change(source, source.resize((source.width // 2, source.height // 2), Image.Resampling.LANCZOS))
    assert found.psnr_db > 25
    assert found.changed < 0.2


def test_a_change_map_shows_the_largest_difference_of_a_pixel():
    source, edit = Image.new("RGB", (3, 2), (10, 20, 30)), Image.new("RGB", (3, 2), (10, 120, 0))
    found = change_map(source, edit)
    assert (found.mode, found.size) == ("L", (3, 2))
    assert set(found.get_flattened_data()) == {100}
