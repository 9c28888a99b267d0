"""`ssvae mi`: the mutual information of given pairs, by several estimators, on pairs held out from training."""
