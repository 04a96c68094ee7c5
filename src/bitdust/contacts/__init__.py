"""The people one knows: friends, whether they are there, nicknames, invitations."""
