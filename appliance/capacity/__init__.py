"""How many engine servers are needed, and when: forecast, plan, scaling."""
