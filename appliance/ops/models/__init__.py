"""`ivr models`: each file one of its commands, or what two of them share."""
