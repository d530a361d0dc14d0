"""Campaigns: lists of people that an agent rings, a few at a time.

Pure: ``plan`` what one is to be · ``contacts`` reads the list (CSV) · ``states`` which step leads
where · ``window`` when a campaign rings · ``pacing`` how many calls may be put on the list now ·
``breaker`` when it stops by itself · ``progress`` how fast it goes, and until when

With a database: ``steps`` start, pause, cancel · ``loading`` a list into a campaign · ``room`` asks the
workers · ``feeder`` what ``ivr jobs`` does every few seconds
"""
