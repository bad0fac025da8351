"""What a net gives to people and to other programs: its summary, charts of its training."""
