"""Postgres: the one store of truth, and the journal that writes to it behind the call. SQL stands here.

What to look for where:

* the database itself: ``database`` (where it is, migrations), ``schema`` (which of
  them are safe under running code), ``models``, ``knowledge_models``,
  ``review_models``, ``access_models`` and ``outreach_models`` (the tables), ``base`` (what they build
  on), ``queue`` (where Redis is)
* who answers: ``agents``, ``directory`` (also with Postgres away); whose they are: ``tenancy``; as
  people make them: ``drafts``, ``agent_views``
* telephony: ``trunks``, ``phonebook``, ``outbound``, ``donotcall``, ``legs``, ``tolls`` (what was rung
  lately), ``number_views`` (within a tenant)
* campaigns: ``campaigns`` and their contacts, ``feeding`` (their calls on the list of ``outbound``)
* the journal, written: ``journal`` -> ``spool`` (disk) -> ``shipper`` -> ``rows``
* the journal, read: ``calls``, ``call_log`` and ``outcomes`` (as the console searches it), ``cutoff``,
  ``questions``, ``measures``, ``traffic``, ``overview`` (the last minutes), ``tallies`` (rows by
  state); the figures of a call center: ``terms`` (what each means), ``endings``, ``analytics``,
  ``gaps`` (waits), ``histogram``, ``unanswered``
* webhooks: ``webhooks``, ``outbox`` (what is to be told, and was)
* documents on their way in: ``documents``, ``sources`` (URLs), ``leases``, ``revisions``, ``staging``,
  ``publishing`` (``keeping``, ``ordering``); then ``reembedding``, ``versions``, ``pruning``,
  ``dropping``; to look at: ``document_views``, ``base_views`` (within a tenant)
* passages found: ``passages``, ``finding``, ``baseindex``, ``lanes`` (the connections of searches)
* who may do what, and who did it: ``users`` (and tenants), ``sessions``, ``api_keys``, ``audit_log``
* review: ``flags``, ``moderating``, ``golden``, ``cached_answers``, ``corrections``, ``rules_of_site``
* privacy: ``redactions``, ``erasing``
* backups: ``backing``
* ``health``: what ``ivr doctor`` asks
"""
