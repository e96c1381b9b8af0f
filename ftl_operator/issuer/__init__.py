"""Checks an FtlApp's authorization: the issuer's metadata, its keys, the policy."""
