"""The numbers of `earshot.decisions`, fitted on validation. Nothing that serves imports this."""
