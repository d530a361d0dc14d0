"""Parts of the pages of knowledge: ``documentlist`` and ``states`` (how a document stands), ``adding``
(upload, URLs), ``searchbox`` (what an agent would find), ``goldenpanel`` and ``commonpanel`` (what
agents answer), ``ofagent`` (which agents a page is about)."""
