"""A stand-in for AUTOMATIC1111's web UI: its HTTP API over diffusers, where its source is not.

It is not the web UI and shares no code with it. Nothing outside docker/sandbox/ may ask which of
the two is running; whoever has to know finds the header `X-Sdkiln-Standin: 1` in every reply.
"""
