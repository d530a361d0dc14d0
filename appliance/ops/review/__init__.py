"""`ivr ask`, `ivr golden` and `ivr answers`: what agents answer, asked without a call."""
