"""The verifier: tells whether the stored trail is complete and unaltered. Formats: doc/evidence.md.

From this package it imports only admin_client.evidence and the engine of admin_client.parity. So it can be built into
one file that needs only Python and cryptography (clients/python/build_verifier.py).
"""
