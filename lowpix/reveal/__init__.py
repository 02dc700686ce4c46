"""Revealing pixels: the log of answers, the sessions that learn from it, and the choice of the next pixels."""
