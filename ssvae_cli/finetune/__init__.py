"""`ssvae finetune`: a classifier from the encoder of a run."""
