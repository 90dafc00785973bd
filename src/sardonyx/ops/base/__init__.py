"""What the classes of several families share."""
