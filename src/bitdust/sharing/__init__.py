"""What is given to other people: keys, and shared locations with a key of their own."""
