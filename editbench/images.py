"""The one conversion from encoded bytes to pixels, shared by editor, judge and report."""

import io
import re
import struct
import zlib

from PIL import Image, ImageCms

MAX_PIXELS = 2**26
"""Most pixels of an image, 8192 × 8192: below the 89 megapixels at which Pillow itself starts to warn."""
MAX_BYTES = 2**27
"""Most encoded bytes of an image, 128 MiB."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")
_KNOWN = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or JPEG 2000"
_MAX_SCANS = 100  # of a progressive JPEG: each is decoded over all of the picture, and encoders write about ten
_PLUGINS = {
    "HEIC image, which needs the plug-in pillow-heif": re.compile(
        rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL
    ),
    "JPEG XL image, which needs the plug-in pillow-jxl-plugin": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
}
# what Pillow's readers raise on hostile bytes; its own list, in Image.open, covers the header only
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes) -> Image.Image:
    """Turn encoded bytes into upright 8-bit sRGB pixels, always by the same steps.

    1. PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or JPEG 2000 by the first bytes, whatever the name; at most `MAX_BYTES`,
       `MAX_PIXELS` and, of a JPEG, 100 scans. Text in a PNG is left out, but for XMP.
    2. The first frame of an animation, or of several pictures in one file.
    3. 16 bits a channel become 8 by keeping the high byte: scaled, not clipped.
    4. An embedded ICC profile of the image's own colour space is converted to sRGB, perceptual intent; without one,
       or with one that cannot be read, gray and palette are taken as sRGB and CMYK by Pillow's plain formula.
    5. Transparency, whether a channel, a palette entry or a key colour, is laid over white.
    6. The EXIF or XMP orientation is applied; one that cannot be read counts as upright.
    7. The result is RGB and carries no metadata.

    Raises:
        ValueError: the bytes are no such image, are cut off or broken, or exceed a limit; the message says which.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"has {len(data):,} bytes, over the limit of {MAX_BYTES:,}")
    if data.startswith(b"\xff\xd8") and (num_scans := data.count(b"\xff\xda")) > _MAX_SCANS:
        raise ValueError(f"has {num_scans:,} scans, over the limit of {_MAX_SCANS}; encode it again")
    data = _without_text(data)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _TooLarge(f"has {width} × {height} pixels, over the limit of {MAX_PIXELS:,}")
            image.load()
            # byte 24 of a PNG is the bit depth in its header, which Pillow does not tell
            depth = data[24] if image.format == "PNG" else 8
            return _upright(_flatten(image, depth), image)
    except _TooLarge:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"has more pixels than the limit of {MAX_PIXELS:,}") from error
    except Image.UnidentifiedImageError as error:
        for what, begin in _PLUGINS.items():
            if begin.match(data):
                raise ValueError(f"is a {what}, and this program does not use it; convert it to PNG") from error
        start = f"begins with {data[:8]!r}" if data else "is empty"
        raise ValueError(f"is not a readable {_KNOWN} image (it {start})") from error
    except _BROKEN as error:
        raise ValueError(f"is cut off or broken ({str(error) or type(error).__name__})") from error


def encode_png(image: Image.Image) -> bytes:
    """An image as PNG bytes: RGB by the same steps as `decode`, quick to write (level 1), without metadata.

    The same pixels give the same bytes under the same Pillow.

    Raises:
        ValueError: the image's mode has no stated conversion, such as `F`.
    """
    file = io.BytesIO()
    _flatten(image, 8).save(file, "PNG", compress_level=1)
    return file.getvalue()


def is_animated(data: bytes) -> bool:
    """Whether encoded bytes hold several frames, of which `decode` reads the first; False where they hold no image."""
    try:
        with Image.open(io.BytesIO(_without_text(data)), formats=_FORMATS) as image:
            return bool(getattr(image, "is_animated", False))
    except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False


_PNG = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp\0"
_MAX_XMP = 2**20


def _without_text(data: bytes) -> bytes:
    """A PNG without its text chunks, whose sizes Pillow limits: some programs store megabytes in them."""
    if not data.startswith(_PNG):
        return data
    kept, place, start = list[bytes](), len(_PNG), 0
    while place + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        end = place + 12 + size
        is_xmp = data[place + 8 : place + 8 + len(_XMP)] == _XMP and size <= _MAX_XMP
        if name in (b"tEXt", b"zTXt", b"iTXt") and not is_xmp:
            kept.append(data[start:place])
            start = end
        place = end
    return b"".join((*kept, data[start:])) if kept else data


class _TooLarge(ValueError):
    """Distinct from the ValueErrors of Pillow's readers."""


def _flatten(image: Image.Image, depth: int) -> Image.Image:
    """A new RGB image without metadata: 8 bits, sRGB, over white."""
    alpha = None
    colour = image
    if image.mode.startswith("I;16"):
        colour, alpha = _from_16_bit(image)
    elif image.has_transparency_data:
        if image.mode in ("L", "RGB"):
            image = image.copy()
            image.info["transparency"] = _key_colour(image.info["transparency"], depth)
        whole = image.convert("RGBA")
        alpha = whole.getchannel("A")
        colour = image.getchannel("L") if image.mode == "LA" else whole.convert("RGB")
    elif image.mode in ("F", "I"):
        raise ValueError(f"has mode {image.mode}, whose range is not known; give RGB")
    colour = _to_srgb(colour, image.info.get("icc_profile"))
    result = Image.new("RGB", image.size, "white")
    result.paste(colour, mask=alpha)
    return result


def _from_16_bit(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    import numpy as np

    # Pillow's own conversion to 8 bits clips at 255 in some versions
    values = np.asarray(image)
    colour = Image.fromarray((values >> 8).astype(np.uint8))
    key = image.info.get("transparency")
    return colour, None if key is None else Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))


def _key_colour(key: int | tuple[int, ...], depth: int) -> int | tuple[int, ...]:
    """The transparent colour in the 8-bit scale of the pixels; Pillow leaves it in the file's own."""
    if isinstance(key, tuple):
        return tuple(_eight_bit(value, depth) for value in key)
    return _eight_bit(key, depth)


def _eight_bit(value: int, depth: int) -> int:
    most = 2**depth - 1
    return value >> 8 if depth == 16 else (value & most) * 255 // most


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = str(getattr(source.profile, "xcolor_space", "")).strip()
            if space == "RGB" and image.mode != "CMYK":
                image = image.convert("RGB")
            if space == {"L": "GRAY"}.get(image.mode, image.mode):
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                return converted if converted is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # as browsers do: a broken profile says nothing about the pixels
    return image.convert("RGB")


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except _BROKEN:
        return pixels
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if method is None else pixels.transpose(method)
