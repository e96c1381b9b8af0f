"""Checks what an FtlApp says about tokens: the issuer's metadata, its keys, the policy."""
