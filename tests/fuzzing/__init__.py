"""A fuzzer of everything that is read."""
