"""The sections of the report: each takes the context and gives a `Section`, or says by InputError why it cannot."""
