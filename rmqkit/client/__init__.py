"""Talk to a running cluster in RocketMQ's own terms.

What belongs here: NameServer, broker and Raft queries, sends, pulls, a producer and a consumer, all over a
pool of channels. What does not: containers, who should be leader, what a cluster is made of (``topology``).
"""
