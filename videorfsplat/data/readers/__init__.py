"""Recorded scenes as training samples, from the published formats of the field."""
