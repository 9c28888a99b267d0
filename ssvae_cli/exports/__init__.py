"""A run's encoder for other programs: each function writes one format into a folder, and returns what it wrote."""

from ssvae_cli.exports.huggingface import huggingface
from ssvae_cli.exports.program import onnx, pt2
from ssvae_cli.exports.projector import projector
from ssvae_cli.exports.weights import safetensors

EXPORTS = {"huggingface": huggingface, "onnx": onnx, "projector": projector, "pt2": pt2, "safetensors": safetensors}

__all__ = ["EXPORTS"]
