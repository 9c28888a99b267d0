"""`ssvae report`: runs -> sections of settings -> tables and figures -> Markdown, LaTeX, CSV, one HTML page."""
