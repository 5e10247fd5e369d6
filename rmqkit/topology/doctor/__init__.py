"""What is wrong with a configuration, judged from values alone: files that were read, facts that were gathered.

What belongs here: the findings, and the model that they look at. What does not: reading files, asking a machine or
the network (``deploy/``), printing (``cli/``).
"""
