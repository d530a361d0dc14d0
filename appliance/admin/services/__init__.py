"""What the console does: plain async functions ``f(console, actor, …)``, the same for pages and API.

Each asks for its permission first, keeps to the actor's tenant (``theirs``, ``onecall``), and writes
changes and listening into the audit log.

* calls: ``live``; the log: ``calls``, ``recordings``, ``callerasure``
* review: ``flags``, ``flag_fixes``, ``rules``
* figures: ``analytics``, ``forecast``, ``system``; what is wrong: ``doctor``
* agents: ``agents``, ``drafts``, ``choices`` (what the editor offers); tried: ``tryit``, ``replay``,
  ``asking``
* knowledge: ``knowledge`` bases, ``documents``, ``searching``; watched: ``golden``, ``common_answers``
* telephony: ``numbers``, ``callpath`` (where a call goes), ``destinations``, ``trunks``,
  ``telephones``
* calls that go out: ``campaigns``, ``donotcall``; and what is told to others: ``webhooks``
* people: ``users``, ``tenants``, ``keys``, ``account`` (one's own), ``audit``
"""
