"""What watching costs: `python -m isogain.bench`."""
