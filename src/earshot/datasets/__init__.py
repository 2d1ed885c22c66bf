"""Where recordings come from: one file a source, one table of clips out of each."""
