"""Evidence: the formats that the archiver writes and the verifier reads (doc/evidence.md)."""
