"""Writes the two embedded data sets from the copies that scikit-learn carries.

    python3 -m venv venv && venv/bin/pip install scikit-learn==1.9.1
    venv/bin/python oracle/make_digits.py

Running it again gives the same bytes: the gzip header carries no time and no file name.

crates/isogain-data/assets/digits.gz
    UCI "Optical Recognition of Handwritten Digits", the 1797 images of its test part. Uncompressed: 1797 records of
    65 bytes, in the order of the source. A record is 64 pixels (8 rows of 8, row-major, each 0..16) followed by the
    label (0..9). Uncompressed size 116805 bytes.

recipes/data/diabetes.csv
    442 patients, header row, ten raw (unscaled) features, last column `target`: disease progression one year later,
    25..346.
"""

import gzip
import pathlib

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

ROOT = pathlib.Path(__file__).resolve().parent.parent


def write_digits(path):
    digits = load_digits()
    pixels, labels = digits.data, digits.target
    assert pixels.shape == (1797, 64) and labels.shape == (1797,)
    assert pixels.min() == 0 and pixels.max() == 16 and np.array_equal(pixels, np.round(pixels))
    assert sorted(set(labels.tolist())) == list(range(10))
    records = np.concatenate([pixels, labels[:, None]], axis=1).astype(np.uint8)
    packed = bytearray(gzip.compress(records.tobytes(), compresslevel=9, mtime=0))
    # Byte 9 names the operating system; zlib builds differ in it, 255 means "unknown" everywhere.
    packed[9] = 255
    path.write_bytes(bytes(packed))
    return path


def write_diabetes(path):
    diabetes = load_diabetes(scaled=False)
    features, target = diabetes.data, diabetes.target
    assert features.shape == (442, 10) and target.min() == 25 and target.max() == 346
    lines = [",".join([*diabetes.feature_names, "target"])]
    # repr of a float is the shortest text that reads back to the same number; whole numbers lose their ".0".
    for row, value in zip(features, target):
        lines.append(",".join(repr(float(x)).removesuffix(".0") for x in [*row, value]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    for written in (
        write_digits(ROOT / "crates/isogain-data/assets/digits.gz"),
        write_diabetes(ROOT / "recipes/data/diabetes.csv"),
    ):
        print(written.relative_to(ROOT), written.stat().st_size, "bytes")
