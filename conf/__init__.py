"""The configuration that `ssvae` composes; a folder is a config group, a file one choice."""
