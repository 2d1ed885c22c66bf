"""Sources of labelled recordings: one file each, and one table of clips out of each."""
