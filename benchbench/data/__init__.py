"""Gets datasets onto the disk: finds the real files, makes phantom ones, and knows one from the other."""
