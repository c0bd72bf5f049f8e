"""What the training loop is made of: rows, optimizer, schedule."""
