"""Parts of the page of flagged answers: ``words`` (what a flag is, in words), ``filters`` and ``queue``
(which flags), ``trend`` (how many), ``flagcard`` (one flag), ``fixing`` (mended and asked again)."""
