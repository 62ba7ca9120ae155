"""The prescription applied: surgery on a PyTorch model, one file for each kind of change."""

from isogain.treat.errors import CannotApply
from isogain.treat.settings import Clip, set_optimizer
from isogain.treat.treatment import Treatment, treat

__all__ = ["CannotApply", "Clip", "Treatment", "set_optimizer", "treat"]
