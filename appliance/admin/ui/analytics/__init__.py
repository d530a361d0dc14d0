"""The page of figures in pieces.

``charts`` what is drawn, as ECharts wants it · ``panel`` a chart with its table and its CSV ·
``filters`` period, agent and language in the address · ``tiles`` the figures on top · ``overview``
the charts of calls · ``groups`` agents and languages · ``waits`` the charts of gaps · ``gone`` what
callers did not get · ``outlook`` forecast against what came
"""
