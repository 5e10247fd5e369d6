"""What a cluster is: the specification, its rules, and the files that follow from it. Pure: no I/O.

What belongs here: values and text derived from values. What does not: a running cluster (``cluster/``),
files on disk (``scripts/``, ``resources.py``), anything that asks the machine a question.
"""
