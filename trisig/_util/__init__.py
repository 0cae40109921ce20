"""Small tools without knowledge of signals."""
