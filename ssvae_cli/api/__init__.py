"""What `import ssvae_cli` offers to Python: a trained encoder, and training in scikit-learn's way."""
