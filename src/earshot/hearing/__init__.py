"""The one road from a sound file to the network's input: decode, resample, log-mel."""
