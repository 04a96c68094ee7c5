"""Looking after what is stored: journal, repair, audits, recovery, other keys."""
