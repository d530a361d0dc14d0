"""What an agent knows: passages, their search, and answers drawn from them."""
