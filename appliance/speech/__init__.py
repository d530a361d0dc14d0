"""Text made fit to be spoken: cut into phrases."""
