"""Files on their way: reading and writing local trees, blocks to and from the suppliers."""
