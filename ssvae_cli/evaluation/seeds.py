"""Seeds of what evaluation draws, the same for runs of every seed.

With one seed for all, row i would have the same noise in every split and among samples of P: what is fitted to train
would know the noise of test."""

VIEWS = {"test": 0, "train": 10**9, "validation": 10**9 + 1}  # of the views and posterior samples of a split
PRIOR = 2 * 10**9  # the first of those of samples of P
