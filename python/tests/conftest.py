"""Tests run on one thread each: the machine's cores are for tests side by side."""

import torch

torch.set_num_threads(1)
