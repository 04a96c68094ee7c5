"""The pure formats: chunks, blocks, seals, erasure code, fragments, audits, repair plans.

Nothing here acts or waits; docs/spec/storage.md says what the bytes mean.
"""
