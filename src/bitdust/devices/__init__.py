"""Remote devices of one person: pairing by a short code, and an encrypted channel to the API."""
