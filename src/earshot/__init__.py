"""Earshot: from labelled recordings to sound alerts an operator can trust."""
