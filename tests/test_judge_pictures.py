"""The scale of a judge's pictures is that of Qwen's own package."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from editbench.judges import Message
from editbench.judges.pictures import scaled

SIDES = st.integers(1, 1500)


def message(image, limit):
    return Message(system="", content=("before", image, "after"), max_pixels=(limit,))


@settings(deadline=None, max_examples=150)
@given(SIDES, SIDES, st.integers(5_000, 1_500_000), st.sampled_from([14, 16]), st.sampled_from(["RGB", "RGBA", "L"]))
def test_a_picture_is_what_qwen_vl_utils_makes_of_it(width, height, limit, patch, mode):
    from qwen_vl_utils import fetch_image

    image = Image.effect_noise((width, height), 60).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.effect_noise((width, height), 60))
    try:
        expected = fetch_image({"image": image, "max_pixels": limit}, patch)
    except ValueError:  # its sides differ too much, or one would be 0
        with pytest.raises(ValueError, match=r"differ|height and width"):
            scaled(message(image, limit), patch)
        return
    before, found, after = scaled(message(image, limit), patch).content
    assert (before, after, found.mode, found.size) == ("before", "after", "RGB", expected.size)
    assert found.tobytes() == expected.tobytes()


def test_sides_in_worked_numbers():
    # 640 × 480 in 65,536 pixels: the factor is the root of 4.6875, 2.165; 640 / 2.165 = 295.6, of 32s: 288; 221.7: 192
    assert scaled(message(Image.new("RGB", (640, 480)), 256 * 256), 16).content[1].size == (288, 192)
    assert scaled(message(Image.new("RGB", (10, 20)), 256 * 256), 16).content[1].size == (64, 96)


def test_a_picture_that_can_not_be_scaled_is_said():
    with pytest.raises(ValueError, match="1001 × 5 pixels: its sides differ by more than 200"):
        scaled(message(Image.new("RGB", (1001, 5)), 256 * 256), 16)
    with pytest.raises(ValueError, match="a limit of 4095 pixels is below 4096"):
        scaled(message(Image.new("RGB", (64, 64)), 4095), 16)


def test_a_picture_without_limit_stays():
    image = Image.new("RGB", (33, 7))
    assert scaled(message(image, None), 16).content[1] is image
