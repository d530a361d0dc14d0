"""Text made fit to be spoken: phrases, spoken forms."""
