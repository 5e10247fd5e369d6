"""Bytes over a connection, with a deadline.

What belongs here: one channel per peer, a pool of them, a scripted peer for tests. What does not: what a
request means (``rmqkit.client``), how frames are made (``rmqkit.wire``).
"""
