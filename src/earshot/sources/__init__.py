"""Sources of labelled recordings: one module each, and one table of clips out of each."""
