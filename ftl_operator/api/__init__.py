"""The FtlApp API: its model, its custom resource definition, the kinds, names and conditions it uses."""
