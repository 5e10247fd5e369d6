"""A specification onto hosts: rendered folders, the doctor's look at files, machines and peers, and a deploy.

What belongs here: reading and writing the files of a deployment, probes of a machine and of the network, the engines of
its hosts, what a deploy changes and in which order. What does not: what the files mean and what is wrong with them
(``topology/``), what a running cluster says of itself (``cluster/``).
"""
