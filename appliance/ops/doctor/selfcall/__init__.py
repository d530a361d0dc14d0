"""``ivr doctor --call``: the appliance rings itself over SIP, asks a question and listens.

- ``targets``: what answers SIP here, and what is dialled there
- ``question``: what is asked, in the agent's language, spoken by a voice of the appliance
- ``ringing``: the call itself, and what its rows say was heard
- ``command``: the verdict, in words and as JSON
"""
