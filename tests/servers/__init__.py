"""Real servers and protocol fakes; none needs pytest, so benchmarks use them too. fixtures.py hands them to pytest."""
