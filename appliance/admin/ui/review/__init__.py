"""Parts of the page of flagged answers: ``words`` (what a flag is, in words), ``filters`` and ``queue``
(which flags), ``trend`` (how many), ``flagcard`` (one flag), ``fixing`` (mended and asked again); of
the page of rules: ``ruledialog`` (one written), ``tried`` (what the guard says)."""
