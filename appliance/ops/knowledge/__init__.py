"""`ivr knowledge`: documents added, watched and shown, versions loaded and searched."""
