import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from editbench import images
from editbench.images import decode, encode_png

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes = b"", *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: what Pillow does not write, and headers that lie."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *extra]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def corners() -> Image.Image:
    """2 × 3 blocks of 16 pixels, no two alike, so that each orientation looks different."""
    blocks = np.array([[RED, GREEN], [BLUE, WHITE], [(0, 0, 0), (255, 255, 0)]], dtype=np.uint8)
    return Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1))


# the EXIF standard's own words: which side of the scene the stored row 0 and column 0 are
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_each_exif_orientation_comes_out_upright(orientation, kind):
    scene = np.asarray(corners())
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene)))
    quality = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    result = decode(encoded(stored, kind, exif=exif, **quality))
    assert result.size == (32, 48)
    assert np.abs(np.asarray(result).astype(int) - scene).max() < 24


def test_an_unreadable_orientation_counts_as_upright():
    data = encoded(corners(), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with pytest.warns(UserWarning, match="EXIF"):
        assert decode(data).size == (32, 48)


def test_alpha_is_laid_over_white():
    pixels = Image.new("RGBA", (2, 1), (0, 0, 255, 0))
    pixels.putpixel((1, 0), (255, 0, 0, 51))
    for kind in ("PNG", "WEBP"):
        result = decode(encoded(pixels, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
        assert [result.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (255, 204, 204)]


def test_gray_with_alpha_is_laid_over_white():
    result = decode(encoded(Image.new("LA", (1, 1), (100, 0))))
    assert result.getpixel((0, 0)) == WHITE


def test_a_palette_keeps_its_colours_and_its_transparent_entry_becomes_white():
    pixels = Image.new("P", (2, 1))
    pixels.putpalette([*RED, *GREEN])
    pixels.putpixel((1, 0), 1)
    assert decode(encoded(pixels)).getpixel((1, 0)) == GREEN
    result = decode(encoded(pixels, transparency=1))
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]


def test_sixteen_bit_gray_is_scaled_and_not_clipped():
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    result = np.asarray(decode(encoded(Image.fromarray(values))))
    assert result[0].tolist() == [[v, v, v] for v in (0, 0, 1, 128, 255)]


def test_sixteen_bit_gray_and_colour_agree():
    values = [0, 300, 40000, 65535]
    gray = png(4, 1, 16, 0, b"\0" + struct.pack(">4H", *values))
    colour = png(4, 1, 16, 2, b"\0" + b"".join(struct.pack(">3H", v, v, v) for v in values))
    both = png(4, 1, 16, 6, b"\0" + b"".join(struct.pack(">4H", v, v, v, 65535) for v in values))
    assert decode(gray).tobytes() == decode(colour).tobytes() == decode(both).tobytes()


@pytest.mark.parametrize(
    ("depth", "colour", "rows", "key"),
    [
        (2, 0, b"\0\x6c", struct.pack(">H", 2)),  # levels 1, 2, 3, 0
        (8, 0, b"\0\x01\x02\x03\x00", struct.pack(">H", 2)),
        (16, 0, b"\0" + struct.pack(">4H", 300, 512, 513, 0), struct.pack(">H", 512)),
        (
            16,
            2,
            b"\0" + struct.pack(">12H", *[300] * 3, *[512] * 3, *[900] * 3, *[0] * 3),
            struct.pack(">3H", *[512] * 3),
        ),
    ],
)
def test_a_key_colour_is_transparent_at_every_depth(depth, colour, rows, key):
    result = decode(png(4, 1, depth, colour, rows, (b"tRNS", key)))
    assert [result.getpixel((x, 0)) == WHITE for x in (0, 1, 3)] == [False, True, False]


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
def test_every_mode_of_a_jpeg_becomes_rgb(mode):
    result = decode(encoded(Image.new("RGB", (16, 16), (200, 200, 200)).convert(mode), "JPEG", quality=100))
    assert result.mode == "RGB"
    assert max(abs(value - 200) for value in result.getpixel((8, 8))) <= 3


def test_one_bit_black_and_white_becomes_rgb():
    assert decode(encoded(Image.new("1", (3, 2), 1))).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    result = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert max(abs(a - b) for a, b in zip(result.getpixel((4, 4)), RED, strict=True)) <= 3


def test_an_embedded_srgb_profile_changes_no_pixel():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(encoded(corners(), icc_profile=profile)).tobytes() == corners().tobytes()


def test_an_embedded_profile_is_converted_by_its_own_curves():
    linear = struct.pack(">I", 0)
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # make the three tone curves linear: a `curv` without entries is the identity
    for index in range(struct.unpack(">I", profile[128:132])[0]):
        name, start, _ = struct.unpack(">4sII", profile[132 + 12 * index : 144 + 12 * index])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            profile[start : start + 12] = b"curv\0\0\0\0" + linear
    gray = Image.new("RGB", (4, 4), (55, 55, 55))
    # linear 55 / 255 = 0.2157 is 1.055 * 0.2157 ** (1 / 2.4) - 0.055 = 0.502 in sRGB, 128 of 255
    result = decode(encoded(gray, icc_profile=bytes(profile))).getpixel((0, 0))
    assert max(abs(value - 128) for value in result) <= 1
    clear = decode(encoded(gray.convert("RGBA"), icc_profile=bytes(profile))).getpixel((0, 0))
    assert clear == result


@pytest.mark.parametrize("profile", [b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()])
def test_a_broken_or_foreign_profile_is_ignored(profile):
    assert decode(encoded(corners(), icc_profile=profile)).tobytes() == corners().tobytes()


def test_the_result_carries_no_metadata():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "somebody's garden"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = decode(encoded(corners(), "JPEG", exif=exif, icc_profile=profile, comment=b"secret", dpi=(72, 72)))
    assert result.info == {}
    assert dict(result.getexif()) == {}


def test_a_tiny_file_that_claims_a_huge_image_is_refused_before_decoding():
    for side in (9000, 60000, 2**31 - 1):
        with pytest.raises(ValueError, match="pixels"):
            decode(png(side, side, 8, 2))


def test_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="bytes, over the limit of 10"):
        decode(bytes(11))


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        encoded(Image.new("RGB", (4, 4)), "PPM"),
        encoded(Image.new("RGB", (4, 4)), "ICO"),
        encoded(Image.new("RGB", (4, 4)), "TGA"),
        b"<svg/>",
        b"",
    ],
)
def test_other_formats_are_refused_by_their_first_bytes(data):
    with pytest.raises(ValueError, match="not a readable PNG, JPEG, WebP"):
        decode(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_the_other_formats_are_read_with_their_colours_and_their_transparency(kind):
    lossless = {"AVIF": {"quality": 100, "subsampling": "4:4:4"}, "JPEG2000": {"irreversible": False}}.get(kind, {})
    result = decode(encoded(corners(), kind, **lossless))
    assert result.mode == "RGB"
    assert np.abs(np.asarray(result).astype(int) - np.asarray(corners())).max() <= 6
    if kind not in ("GIF", "BMP"):
        clear = decode(encoded(Image.new("RGBA", (16, 16), (0, 0, 255, 0)), kind, **lossless))
        assert clear.getpixel((8, 8)) == WHITE


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "AVIF", "PNG", "WEBP"])
def test_several_frames_are_noticed_and_the_first_is_read(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert images.is_animated(data)
    assert not images.is_animated(encoded(frames[0], kind))
    assert max(abs(a - b) for a, b in zip(decode(data).getpixel((8, 8)), RED, strict=True)) <= 6


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_the_limits_hold_for_the_other_formats_too(kind, monkeypatch):
    data = encoded(Image.new("RGB", (40, 40)), kind)
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="pixels, over the limit of 1,000"):
        decode(data)


@pytest.mark.parametrize(
    ("data", "needs"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC image, which needs the plug-in pillow-heif"),
        (b"\xff\x0a\xfa\x1f\x01", "JPEG XL image, which needs the plug-in pillow-jxl-plugin"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL image, which needs the plug-in pillow-jxl-plugin"),
    ],
)
def test_what_needs_a_plug_in_is_refused_with_its_name(data, needs):
    with pytest.raises(ValueError, match=needs):
        decode(data)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("size", [10, 3 * 2**20, 70 * 2**20])
def test_a_png_with_much_text_is_read_without_it(compressed, size):
    text = b"workflow\0" + (b"\0" + zlib.compress(b"x" * size) if compressed else b"x" * size)
    name = b"zTXt" if compressed else b"tEXt"
    data = png(1, 1, 8, 2, b"\0\xff\0\0", (name, text), (b"iTXt", b"prompt\0\0\0\0\0" + b"y" * min(size, 2**22)))
    assert decode(data).getpixel((0, 0)) == RED
    assert decode(data).info == {}


def test_a_palette_that_is_missing_is_a_broken_image():
    with pytest.raises(ValueError, match="cut off or broken"):
        decode(png(4, 4, 8, 3, bytes(20)))


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded():
    data = encoded(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    start, end = data.index(b"\xff\xda"), data.rindex(b"\xff\xd9")
    assert decode(data).size == (16, 16)
    with pytest.raises(ValueError, match=r"has 2,0.. scans, over the limit of 100"):
        decode(data[:end] + data[start : start + 12] * 2000 + data[end:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "JPEG2000", "TIFF"])
def test_a_truncated_image_is_refused(kind):
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(pixels, kind)
    with pytest.raises(ValueError, match=r"cut off or broken|not a readable"):
        decode(data[: len(data) // 2])


SOUND = [encoded(corners(), kind) for kind in ("PNG", "JPEG", "WEBP")]


@pytest.mark.filterwarnings("ignore")
@given(
    data=st.sampled_from(SOUND),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 400),
)
def test_damaged_bytes_give_an_rgb_image_or_a_value_error(data, changes, cut):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    try:
        result = decode(bytes(damaged[: len(damaged) - cut]))
    except ValueError:
        return
    assert result.mode == "RGB"


def test_a_png_comes_back_with_the_same_pixels_and_the_same_bytes_each_time():
    pixels = corners()
    pixels.info["icc_profile"], pixels.info["comment"] = b"x", "y"
    data = encode_png(pixels)
    assert decode(data).tobytes() == pixels.tobytes()
    assert data == encode_png(corners())
    assert pixels.info["comment"] == "y"


def test_encoding_converts_as_decoding_does():
    assert decode(encode_png(Image.new("RGBA", (1, 1), (0, 0, 0, 0)))).getpixel((0, 0)) == WHITE
    with pytest.raises(ValueError, match="mode F"):
        encode_png(Image.new("F", (1, 1)))
