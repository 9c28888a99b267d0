"""How rows are read: images, arrays and .npz files, in memory or streamed."""
