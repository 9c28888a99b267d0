"""`ssvae verify`: each identity of the paper, compared with the results of the shipped classes."""
