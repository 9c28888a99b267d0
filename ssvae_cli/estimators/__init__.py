"""Estimators: how the ELBO under a prior is had from a batch. One class a file.

An estimator returns one number in nats. Its value is what is reported; its gradient is what is trained on,
and may be another quantity's where the docstring says so.
"""
