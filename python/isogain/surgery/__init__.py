"""The prescription applied: surgery on a PyTorch model, one file for each kind of change."""

from isogain.surgery.clipping import Clip
from isogain.surgery.errors import CannotApply
from isogain.surgery.settings import main_group, set_optimizer
from isogain.surgery.treatment import Treatment, treat

__all__ = ["CannotApply", "Clip", "Treatment", "main_group", "set_optimizer", "treat"]
