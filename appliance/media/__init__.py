"""The caller's audio in and out of a worker: stream websocket, playout, recording."""
