"""From file to tensor, the same way for training, evaluation and the application."""
