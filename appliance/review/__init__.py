"""Looking at answers again: moderation, flags, golden questions, common answers."""
