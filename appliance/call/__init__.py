"""One live call, and the desk that admits and drains calls.

* the worker: ``worker`` puts all together; ``admission``, ``warmth``, ``siterules``; what it tells
  Prometheus and a collector of traces: ``telling``, ``measured``, ``tracing`` (``spans``)
* a call's way in: ``desk`` -> ``lobby`` (``past``) -> ``session``; for an external bot ``botcall``
  (``botlink``, ``botvoice``); from the console, to try an agent: ``trying``
* a call: ``session`` asks the floor and does its actions; ``services``, ``life``, ``timers``
* the caller's side: ``hearing``, ``utterances``, ``callaudio``; ``callee``, of calls that we make
* the agent's side: ``speaker`` -> ``composer`` -> ``answerer``, ``release`` (the guard's verdicts),
  ``cached``, ``kept``; one ``reply`` and its ``timeline``
* what is kept in mind: ``history``, ``remembering`` (``notes``, ``digest``, ``facts`` by
  ``introductions``)
* what is kept on disk: ``recorded``, ``redacting`` (``wordtimes``), ``flagging``
* to a person: ``handoff``, ``summary``, ``holdtone``; the language model asks by ``marker``
* for those who look on: ``who``, ``ear``
* text that others wrote: ``oneline``
"""
