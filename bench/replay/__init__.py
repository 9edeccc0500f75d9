"""The parts of the trial on real input; bench/replay.py is the command."""
