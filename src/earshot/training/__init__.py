"""The networks, their augmentation and the training loop; the only package that imports torch."""
