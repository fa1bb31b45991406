"""The verifier: is what is kept of the trail complete and unaltered?  Formats: doc/evidence.md.

Imports nothing of this package but admin_client.evidence and the engine of admin_client.parity, so that
one file can be made of it which needs Python and cryptography only (clients/python/build_verifier.py).
"""
