"""One live call, and the desk that admits and drains calls."""
