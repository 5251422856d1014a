"""Floor 2: graph neural networks, their training, uncertainty and checkpoints."""
