"""What is read from a trained encoder: metrics, each one class, on validation while training and on test at the end."""

from ssvae_cli.evaluation.evaluation import Evaluation, Metric
from ssvae_cli.evaluation.reading import Reading

__all__ = ["Evaluation", "Metric", "Reading"]
