"""What the bytes mean: frames, headers, codes, bodies and stored messages.

What belongs here: pure functions and frozen values over bytes. What does not: sockets, files, clocks,
loggers.
"""
