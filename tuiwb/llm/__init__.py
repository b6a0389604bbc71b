"""Calls to a language model behind an HTTP endpoint, and what they cost.

In: a text to ask, a JSON schema for the answer, a function that reads it. Out: a reply with its
value or the reason why there is none, tokens and dollars. The judge and the generator of
synthetic rows stand on it; it knows neither, nor any other domain. `client.py` keeps deadlines,
retries, pace and redaction for every endpoint; `anthropic_endpoint.py` speaks one API and is
imported by workers only, so that screens stay light; keys come from the environment and reach no
file and no message.
"""
