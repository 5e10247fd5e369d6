"""A specification onto hosts: rendered folders, and the doctor's look at files, machines and peers.

What belongs here: reading and writing the files of a deployment, probes of a machine and of the network. What does
not: what the files mean and what is wrong with them (``topology/``), a running cluster (``cluster/``).
"""
