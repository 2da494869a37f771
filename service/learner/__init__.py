"""Joins window, trigger, train and validate into one state machine without input, output or clock.

The trainer drives it from a live stream; a replay drives it from a recording. That is why both learn alike.
"""
