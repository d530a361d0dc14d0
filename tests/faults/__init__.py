"""The appliance with calls in progress, broken in one way after another: what is lost, and what may be.

    python -m tests.faults --calls 20            # every fault, and the table
    python -m tests.faults.soak --calls 3000     # short calls: memory, descriptors, latency

place.py      the appliance: ``ivr up`` as it is, with emulated engines beside it
load.py       callers who talk all the time
table.py      the faults: what is done, how it ends, what may be lost
judge.py      what was lost, and whether that is more than may be
run.py        tries them one after the other
soak.py       short calls, for hours if need be
__main__.py   the command
"""
