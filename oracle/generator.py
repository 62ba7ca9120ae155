"""The random numbers of the golden cases, defined so that any language can draw the same ones bit for bit.

splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), all arithmetic modulo 2^64:

    state += 0x9E3779B97F4A7C15
    z = state
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    output = z ^ (z >> 31)

The state starts at the stream number: parameters 1, inputs 2, labels 3, regression targets 4. Every stream is drawn from
its start, element after element, tensors row-major.

    symmetric   r = (output >> 40) / 2^23 - 1                                          exact, in [-1, 1)
    weight      f32(r * (gain / sqrt(fan_in)))    linear weight [fan_out, fan_in], then its bias [fan_out], same bound
    norm        weight f32(1 + 0.5 * r) [width], then bias f32(0.5 * r) [width] (RMS norm: weight only)
    input       f32(r * sqrt(3))                  [batch, inputs], unit variance
    target      f32(r)                            [batch, outputs]
    label       output mod classes                [batch], unsigned

f32(.) rounds the float64 value to the nearest float32, ties to even, so a float32 engine and the float64 oracle start
from identical numbers; the oracle then widens them to float64. Parameters are drawn in the order of the layers as listed
in the case, a residual's branch where the residual stands; a learnable residual scale starts at its stated constant.
"""

import math

import numpy as np

PARAMETERS, INPUTS, LABELS, TARGETS = 1, 2, 3, 4
MASK = (1 << 64) - 1


class Stream:
    """One splitmix64 stream."""

    def __init__(self, number):
        self.state = number

    def next_u64(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def symmetric(self, *shape):
        """float64 array of the given shape, uniform in [-1, 1) on a grid of 2^-23."""
        draws = [(self.next_u64() >> 40) / 8388608.0 - 1.0 for _ in range(math.prod(shape))]
        return np.array(draws, dtype=np.float64).reshape(shape)

    def labels(self, batch, classes):
        """int64 array [batch] of class numbers."""
        return np.array([self.next_u64() % classes for _ in range(batch)], dtype=np.int64)


def rounded(values):
    """The float64 array with every value rounded to its nearest float32."""
    return values.astype(np.float32).astype(np.float64)


def linear_parameters(stream, fan_out, fan_in, gain):
    """(weight [fan_out, fan_in], bias [fan_out])."""
    bound = gain / math.sqrt(fan_in)
    weight = rounded(stream.symmetric(fan_out, fan_in) * bound)
    return weight, rounded(stream.symmetric(fan_out) * bound)


def norm_weight(stream, width):
    return rounded(1.0 + 0.5 * stream.symmetric(width))


def norm_bias(stream, width):
    return rounded(0.5 * stream.symmetric(width))


def inputs(batch, features):
    return rounded(Stream(INPUTS).symmetric(batch, features) * math.sqrt(3.0))


def targets(batch, outputs):
    return rounded(Stream(TARGETS).symmetric(batch, outputs))


def labels(batch, classes):
    return Stream(LABELS).labels(batch, classes)
