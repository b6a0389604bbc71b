"""Serve base and adapters through an OpenAI-compatible server that outlives the terminal.

In: a base model and finished runs' adapters. Out: a detached job (kind "serve", folder
runs/serve-N) with server.json in it: the URL, the models, the command line. Two engines stand
behind one HTTP subset, so that one client drives both: vLLM where a Python that has it is found or
set, else a small built-in one (transformers and PEFT, continuous batches of base and adapters).

`plan.plan()` makes the spec, `plan.start()` the job, `servers.servers()` lists them from their
files alone, `client.Client` talks to a running one.
"""
