"""Writes the PNG files of crates/isogain-data/tests/png: one picture in the kinds of PNG that are read, by Pillow."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "crates/isogain-data/tests/png"
WIDTH, HEIGHT = 21, 13


def pixel(x: int, y: int) -> tuple[int, int, int, int]:
    """Smooth enough that the encoder chooses every filter; the test computes the same."""
    return (x * 7 + y * 3) % 256, (x * y) % 256, (200 - x * 2 - y * 5) % 256, (x + y * 9) % 256


def main() -> None:
    """Writes every file."""
    FOLDER.mkdir(exist_ok=True)
    colours = Image.new("RGBA", (WIDTH, HEIGHT))
    colours.putdata([pixel(x, y) for y in range(HEIGHT) for x in range(WIDTH)])
    colours.save(FOLDER / "rgba.png")
    colours.convert("RGB").save(FOLDER / "rgb.png", optimize=True)
    colours.getchannel(0).save(FOLDER / "grey.png")
    Image.merge("LA", (colours.getchannel(0), colours.getchannel(3))).save(FOLDER / "grey_alpha.png")
    for bits in (1, 2, 4, 8):
        indices = Image.new("P", (WIDTH, HEIGHT))
        indices.putdata([(x + y) % 2**bits for y in range(HEIGHT) for x in range(WIDTH)])
        indices.putpalette([value for index in range(2**bits) for value in (index * 16 % 256, 255 - index, index)])
        indices.save(FOLDER / f"palette_{bits}.png", bits=bits)
    black = Image.new("1", (WIDTH, HEIGHT))
    black.putdata([255 * ((x * y) % 2) for y in range(HEIGHT) for x in range(WIDTH)])
    black.save(FOLDER / "black_and_white.png")


if __name__ == "__main__":
    main()
