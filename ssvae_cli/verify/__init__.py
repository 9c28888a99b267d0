"""`ssvae verify`: each identity of the paper, held against what the shipped classes give."""
