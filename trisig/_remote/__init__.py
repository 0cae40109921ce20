"""Signals from one program to another: uWSGI's packets with modifier1 110."""
