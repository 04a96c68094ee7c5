"""What people tell each other: private messages, mailboxes, groups and their brokers, history."""
