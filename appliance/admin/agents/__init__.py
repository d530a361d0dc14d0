"""What the console knows of agents before they answer anybody.

``check`` what is wrong with one: ``rules`` by itself, and on this site as ``enginesurvey`` found it;
``problems`` what both tell · ``diff`` two states of one · ``file`` one as TOML · ``defaults`` what a
new one says
"""
